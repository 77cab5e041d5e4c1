#include "launcher/plan/nested_launcher.h"

#include <algorithm>
#include <sstream>
#include <string_view>

namespace muster::plan {
namespace {

using Words = std::vector<std::string>;

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1: the whole path
}

bool is_assignment(const std::string& word) {
  const auto equals = word.find('=');
  return equals != std::string::npos && equals != 0 && word.front() != '-' &&
         word.find('/') > equals;
}

// Enough of the shell's language to see a launcher at the head of the last simple command; what is
// not seen gets no help, which does no harm.
Words shell_words(const std::string& text) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) {
    const bool begins_anew = word == "&&" || word == "||" || word == ";" || word == "|";
    const bool ends = word.size() > 1 && word.back() == ';';
    if (begins_anew || ends) {
      words.clear();
    } else if (!words.empty() || (word != "exec" && word != "env" && !is_assignment(word))) {
      words.push_back(word);
    }
  }
  return words;
}

Words command_words(const Words& argv) {
  const bool is_shell = argv.size() >= 3 && argv[0] == "/bin/sh" && argv[1] == "-c";
  if (!is_shell) return argv;
  Words words = shell_words(argv[2]);
  if (argv.size() > 4) words.insert(words.end(), argv.begin() + 4, argv.end());
  return words;
}

// The option's value in "--name value" and "--name=value"; torchrun takes "--rdzv-id" for
// "--rdzv_id".  Words after the script are the script's, but no script has these names by chance.
std::string option(const Words& words, std::string_view name) {
  for (std::size_t i = 1; i < words.size(); ++i) {
    std::string word = words[i];
    const auto equals = word.find('=');
    std::string key = word.substr(0, equals);
    std::replace(key.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(2, key.size())),
                 key.end(), '-', '_');
    if (key != name) continue;
    if (equals != std::string::npos) return word.substr(equals + 1);
    return i + 1 < words.size() ? words[i + 1] : "";
  }
  return "";
}

bool has_flag(const Words& words, std::string_view name) {
  return std::find(words.begin(), words.end(), name) != words.end();
}

NestedLaunch recognized(const Words& words) {
  if (words.empty()) return {};
  const std::string program = base_name(words[0]);
  if (program == "torchrun") return {NestedLauncher::kTorchrun, "torchrun"};
  if (program == "deepspeed") return {NestedLauncher::kDeepspeed, "deepspeed"};
  if (program == "accelerate" && words.size() > 1 && words[1] == "launch") {
    return {NestedLauncher::kAccelerate, "accelerate launch"};
  }
  if (!program.starts_with("python")) return {};
  const auto module = std::find(words.begin(), words.end(), "-m");
  if (module == words.end() || module + 1 == words.end()) return {};
  // Only the interpreter's own options stand before it; a script's -m is the script's.
  if (std::any_of(words.begin() + 1, module, [](const std::string& w) { return w[0] != '-'; })) {
    return {};
  }
  for (const char* name : {"torch.distributed.run", "torch.distributed.launch"}) {
    if (module[1] == name) return {NestedLauncher::kTorchrun, name};
  }
  return {};
}

}  // namespace

NestedLaunch find_nested_launch(const Words& argv) {
  const Words words = command_words(argv);
  NestedLaunch found = recognized(words);
  const std::string nodes = option(words, "--nnodes");
  found.joins_others = !has_flag(words, "--standalone") && nodes != "1" && nodes != "1:1";
  // Its own words for the same: a line of a host file for each rank, and no ssh to them.
  if (found.launcher == NestedLauncher::kDeepspeed)
    found.joins_others = has_flag(words, "--no_ssh");
  return found;
}

}  // namespace muster::plan
