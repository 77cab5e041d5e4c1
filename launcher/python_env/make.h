// Has a planned Python environment be there: made once per node, whoever asks for it at the same
// time, and never used half-made.
//
//   <cache>/python/<key>/lock       held while it is made; says by whom
//                       /made-<n>/  one attempt; venvs cannot be moved, so it is made in place
//                       /env        a link to the attempt that was finished; it appears by rename
//
// An attempt that was killed is removed by the next maker.  What is left of its processes writes
// into a directory that nothing will ever use.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/preparation.h"
#include "launcher/plan/python_plan.h"
#include "muster/result.h"

namespace muster::python_env {

struct MakeRequest {
  const plan::PythonPlan& plan;
  const std::map<std::string, std::string>& caller_environment;
  std::filesystem::path log;  // what venv, pip and conda say, without credentials
  std::chrono::milliseconds stall_timeout;
  std::string maker;  // "run 20261123-… (process 4711)", for those who wait
  std::function<void(const std::string&)> say;  // one line of progress
};

// Errors: kResources when it cannot be made; kStopped.
Result<> make_ready(Preparation& preparation, const MakeRequest& request);

}  // namespace muster::python_env
