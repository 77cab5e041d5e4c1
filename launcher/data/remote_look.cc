#include "launcher/data/remote_look.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/process.h"

namespace muster::data {
namespace {

// Of rclone's exit codes.
constexpr int kDirectoryNotFound = 3;
constexpr int kFileNotFound = 4;

struct Answer {
  int code = -1;  // -1: it could not be run, or was killed
  std::string text;
};

Answer ask(std::vector<std::string> words, const std::vector<std::string>& command) {
  words.insert(words.begin() + 1, command.begin(), command.end());
  auto pipe = make_pipe();
  const auto nothing = open_file("/dev/null", O_RDWR);
  if (!pipe || !nothing) return {};
  ChildSpec spec;
  spec.program = words.front();
  spec.argv = words;
  spec.environment = own_environment();
  spec.stdin_fd = nothing->get();
  spec.stdout_fd = pipe->write_end.get();
  spec.stderr_fd = STDERR_FILENO;
  spec.parent_death_signal = SIGKILL;
  auto child = Child::start(spec);
  if (!child) return {};
  pipe->write_end.reset();
  Answer answer;
  char bytes[4096];
  for (ssize_t got = 0; (got = ::read(pipe->read_end.get(), bytes, sizeof bytes)) > 0;) {
    answer.text.append(bytes, static_cast<std::size_t>(got));
  }
  const ExitStatus status = child->reap().status;
  if (status.how == ExitStatus::How::kExited) answer.code = status.value;
  return answer;
}

bool has_empty_folders(const std::vector<std::string>& words) {
  const Answer answer = ask(words, {"backend", "features"});
  const auto given = nlohmann::json::parse(answer.text, nullptr, false);
  if (answer.code != 0 || !given.is_object()) return true;
  const auto features = given.find("Features");
  if (features == given.end() || !features->is_object()) return true;
  const auto found = features->find("CanHaveEmptyDirectories");
  return found == features->end() || !found->is_boolean() || found->get<bool>();
}

}  // namespace

int look_at_remote(const std::vector<std::string>& words) {
  const Answer listed = ask(words, {"lsf"});
  if (listed.code == kDirectoryNotFound || listed.code == kFileNotFound) return kNothingThere;
  if (listed.code != 0 || !listed.text.empty() || has_empty_folders(words)) return 0;
  std::fprintf(stderr, "%s: nothing is there, and this store has no empty folders\n",
               words.back().c_str());
  return kNothingThere;
}

}  // namespace muster::data
