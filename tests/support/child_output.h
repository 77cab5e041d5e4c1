// A child process with its output and its end, for tests of how processes are started.
#pragma once

#include <csignal>
#include <string>
#include <unistd.h>

#include <gtest/gtest.h>

#include "base/process.h"

namespace muster::test {

struct ChildOutput {
  ExitStatus status;
  std::string text;  // what it wrote to stdout
};

inline ChildSpec shell(const std::string& script) {
  ChildSpec spec;
  spec.program = "/bin/sh";
  spec.argv = {"sh", "-c", script};
  spec.environment = {"PATH=/usr/bin:/bin"};
  spec.parent_death_signal = SIGKILL;  // a test that is killed leaves nothing
  return spec;
}

inline ChildOutput run_child_process(ChildSpec spec) {
  auto pipe = make_pipe();
  if (!pipe) return {ExitStatus::exited(-1), "no pipe"};
  spec.stdout_fd = pipe->write_end.get();
  auto child = Child::start(spec);
  if (!child) return {ExitStatus::exited(-1), child.error().describe(spec)};
  pipe->write_end.reset();
  ChildOutput output;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(pipe->read_end.get(), buffer, sizeof buffer)) > 0;) {
    output.text.append(buffer, static_cast<std::size_t>(got));
  }
  output.status = child->reap().status;
  return output;
}

inline bool process_exists(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

}  // namespace muster::test
