#include "engine.h"

#include <stdexcept>
#include <string>

namespace golgi {

int32_t Engine::bind(std::shared_ptr<const BoundWeight> weight) {
  weights_.push_back(std::move(weight));
  return static_cast<int32_t>(weights_.size()) - 1;
}

const std::shared_ptr<const BoundWeight>& Engine::weight(int32_t index) const {
  if (index < 0 || static_cast<size_t>(index) >= weights_.size()) {
    throw std::out_of_range("weights must be bound; got " + std::to_string(index));
  }
  return weights_[static_cast<size_t>(index)];
}

std::shared_ptr<const Program> Engine::compile(ProgramSource source) const {
  return std::make_shared<const Program>(std::move(source), kernels_, pages_);
}

}  // namespace golgi
