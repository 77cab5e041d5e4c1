#include "launcher/plan/pip_options.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/text.h"
#include "launcher/config/problems.h"

namespace muster::plan {
namespace {

struct Unfit {
  std::string_view name;
  std::string_view what;  // it does
};

constexpr std::string_view kElsewhere = "has pip install somewhere else than in the environment";
constexpr std::string_view kNothing = "has pip install nothing";

constexpr std::array<Unfit, 9> kUnfit = {{
    {"--user", kElsewhere},
    {"--target", kElsewhere},
    {"--prefix", kElsewhere},
    {"--root", kElsewhere},
    {"--python", kElsewhere},
    {"--install-option", kElsewhere},
    {"--dry-run", kNothing},
    {"--help", kNothing},
    {"--version", kNothing},
}};

// pip takes the beginning of a long option for all of it, where no other begins so.  One that is
// ambiguous is refused as well: pip takes none of these.
const Unfit* unfit_long(std::string_view word) {
  const std::string_view name = word.substr(0, word.find('='));
  if (name.size() <= 2 || name == "--pre") return nullptr;  // which is one of its own
  const auto* const found = std::find_if(
      kUnfit.begin(), kUnfit.end(), [&](const Unfit& each) { return each.name.starts_with(name); });
  return found == kUnfit.end() ? nullptr : found;
}

// "-t", "-tDIR", "-Ut": short options may share a word, up to the first that takes a value.
const Unfit* unfit_short(std::string_view word) {
  constexpr std::string_view kFlags = "UIqv";
  static constexpr Unfit kTarget = {"-t", kElsewhere};
  static constexpr Unfit kHelp = {"-h", kNothing};
  static constexpr Unfit kVersion = {"-V", kNothing};
  for (const char letter : word.substr(1)) {
    if (letter == 't') return &kTarget;
    if (letter == 'h') return &kHelp;
    if (letter == 'V') return &kVersion;
    if (kFlags.find(letter) == std::string_view::npos) return nullptr;
  }
  return nullptr;
}

}  // namespace

Result<> check_pip_options(const std::vector<config::Setting<std::string>>& options) {
  for (const auto& option : options) {
    for (const std::string& word : split(option.value, ' ')) {
      if (word.size() < 2 || word[0] != '-') continue;
      const Unfit* unfit = word[1] == '-' ? unfit_long(word) : unfit_short(word);
      if (unfit == nullptr) continue;
      const std::string name = word.substr(0, word.find('='));
      const bool whole = name == unfit->name || unfit->name.size() == 2;
      return Failure(Error{
          ErrorCode::kConfig,
          "pip_options: " + config::in_quotes(whole ? std::string(unfit->name) : name) +
              (whole ? "" : " (" + std::string(unfit->name) + ")") + " " + std::string(unfit->what),
          "leave it out: packages go into an environment in Muster's cache; to "
          "use one that you fill yourself, name its python in "
          "environment.python.interpreter and say user_managed: true",
          option.origin.location});
    }
  }
  return {};
}

}  // namespace muster::plan
