#include "launcher/plan/command_prefix.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace muster::plan {
namespace {

using Words = std::vector<std::string>;

struct Prefix {
  std::string_view program;
  std::string_view subcommand = {};  // "run"
  std::string_view with_value = {};  // options that take the next word, blank-separated
  std::size_t operands = 0;          // words of its own before the command
  bool takes_assignments = false;
};

constexpr std::string_view kConda = "-n --name -p --prefix --cwd";

constexpr Prefix kPrefixes[] = {
    {.program = "env", .with_value = "-u --unset -C --chdir", .takes_assignments = true},
    {.program = "exec", .with_value = "-a"},
    {.program = "command"},
    {.program = "nohup"},
    {.program = "setsid"},
    {.program = "nice", .with_value = "-n --adjustment"},
    {.program = "ionice", .with_value = "-c --class -n --classdata"},
    {.program = "taskset", .operands = 1},
    {.program = "numactl",
     .with_value = "-N --cpunodebind -C --physcpubind -m --membind -i --interleave -p --preferred "
                   "-w --weighted-interleave --preferred-many"},
    {.program = "timeout", .with_value = "-s --signal -k --kill-after", .operands = 1},
    {.program = "time", .with_value = "-f --format -o --output"},
    {.program = "stdbuf", .with_value = "-i --input -o --output -e --error"},
    {.program = "conda", .subcommand = "run", .with_value = kConda},
    {.program = "mamba", .subcommand = "run", .with_value = kConda},
    {.program = "micromamba", .subcommand = "run", .with_value = kConda},
    {.program = "uv",
     .subcommand = "run",
     .with_value = "--with --with-editable --with-requirements -p --python --extra --group "
                   "--project --directory --env-file --package --index --index-url"},
    {.program = "poetry", .subcommand = "run"},
    {.program = "pipenv", .subcommand = "run"},
};

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1: the whole path
}

const Prefix* find_prefix(const Words& words) {
  for (const Prefix& prefix : kPrefixes) {
    if (words.empty() || base_name(words[0]) != prefix.program) continue;
    if (prefix.subcommand.empty() || (words.size() > 1 && words[1] == prefix.subcommand)) {
      return &prefix;
    }
  }
  return nullptr;
}

// Where the command begins behind the prefix.
std::size_t length_of(const Prefix& prefix, const Words& words) {
  const auto valued = split(prefix.with_value, ' ');
  std::size_t at = prefix.subcommand.empty() ? 1 : 2;
  for (; at < words.size() && words[at].starts_with('-'); ++at) {
    if (words[at] == "--") {
      ++at;
      break;
    }
    if (std::find(valued.begin(), valued.end(), words[at]) != valued.end()) ++at;
  }
  while (prefix.takes_assignments && at < words.size() &&
         words[at].find('=') != std::string::npos) {
    ++at;
  }
  return std::min(at + prefix.operands, words.size());
}

}  // namespace

Words without_prefixes(Words words) {
  while (const Prefix* prefix = find_prefix(words)) {
    const std::size_t length = length_of(*prefix, words);
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(length));
  }
  return words;
}

}  // namespace muster::plan
