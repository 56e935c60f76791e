// Runs a traced stylizer: run_script MODULE PHOTO CODE ALPHA OUTPUT, with float32 numbers in the files.
#include <fstream>
#include <iterator>
#include <torch/script.h>

torch::Tensor read(const char* path, at::IntArrayRef shape) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
  return torch::from_blob(bytes.data(), shape, torch::kFloat32).clone();
}

int main(int, char** arguments) {
  c10::InferenceMode guard;
  auto module = torch::jit::load(arguments[1]);
  auto photo = read(arguments[2], {1, 3, 32, 48}), code = read(arguments[3], {1, 6}), alpha = read(arguments[4], {1, 1});
  auto output = module.forward({photo, code, alpha}).toTensor().contiguous();
  std::ofstream(arguments[5], std::ios::binary).write(static_cast<const char*>(output.data_ptr()), output.nbytes());
}
