// Whether programs that we have started get on with it, however silent they are.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "muster/result.h"

namespace muster::python_env {

// Looks at our children whose command line has that word in it, and at all below them: their CPU
// time and what they write.
class Activity {
 public:
  Activity(std::string word, std::chrono::milliseconds patience);

  // An Error when nothing has changed for so long.
  Result<> check();
  void heard() { changed_ = Clock::now(); }

 private:
  using Clock = std::chrono::steady_clock;

  std::string word_;
  std::chrono::milliseconds patience_;
  std::uint64_t last_ = 0;
  Clock::time_point changed_ = Clock::now();
};

}  // namespace muster::python_env
