"""Target ``qnn``: Qualcomm's Hexagon processors through ONNX Runtime's QNN execution provider."""
