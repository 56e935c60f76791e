"""Target ``openvino``: OpenVINO's intermediate representation (IR), for Intel processors, GPUs and NPUs."""
