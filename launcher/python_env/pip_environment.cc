#include "launcher/python_env/pip_environment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include "base/text.h"

namespace muster::python_env {
namespace {

constexpr std::array<std::string_view, 16> kDecideWhatIsInstalled = {
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_INDEX",
    "PIP_PRE",
    "PIP_ONLY_BINARY",
    "PIP_NO_BINARY",
    "PIP_PREFER_BINARY",
    "PIP_NO_DEPS",
    "PIP_NO_BUILD_ISOLATION",
    "PIP_REQUIRE_HASHES",
    "PIP_CONSTRAINT",
    "PIP_PLATFORM",
    "PIP_IMPLEMENTATION",
    "PIP_ABI",
    "PIP_PYTHON_VERSION",
};

// Somewhere else, nowhere, or another environment than the one that is made.
constexpr std::array<std::string_view, 14> kLeadElsewhere = {
    "PIP_TARGET",      "PIP_PREFIX",          "PIP_ROOT",   "PIP_USER",
    "PIP_DRY_RUN",     "PIP_PYTHON",          "PIP_REPORT", "PIP_UPGRADE",
    "PIP_REQUIREMENT", "PIP_EDITABLE",        "PYTHONHOME", "PYTHONPATH",
    "VIRTUAL_ENV",     "PIP_FORCE_REINSTALL",
};

template <std::size_t kSize>
bool is_in(const std::array<std::string_view, kSize>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::vector<std::string> pip_settings(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> settings;
  for (const auto& [name, value] : environment) {
    if (value.empty() || !is_in(kDecideWhatIsInstalled, name)) continue;
    std::string setting;
    for (const char c : name.substr(4)) {
      setting += c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
    settings.push_back(setting + "=" + value);
  }
  return settings;
}

std::vector<std::string> find_links_of(const std::map<std::string, std::string>& environment) {
  const auto found = environment.find("PIP_FIND_LINKS");
  std::vector<std::string> words;
  if (found == environment.end()) return words;
  for (const std::string& word : split(found->second, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

std::vector<std::string> maker_environment(const std::map<std::string, std::string>& environment,
                                           const std::map<std::string, std::string>& more) {
  std::map<std::string, std::string> kept = environment;
  std::erase_if(kept, [](const auto& variable) { return is_in(kLeadElsewhere, variable.first); });
  const std::map<std::string, std::string> ours = {{"PIP_DISABLE_PIP_VERSION_CHECK", "1"},
                                                   {"PIP_NO_INPUT", "1"},
                                                   {"PIP_PROGRESS_BAR", "off"},
                                                   {"PIP_NO_COLOR", "1"},
                                                   {"GIT_TERMINAL_PROMPT", "0"},
                                                   {"PYTHONUNBUFFERED", "1"}};
  for (const auto& [name, value] : ours) kept.insert_or_assign(name, value);
  for (const auto& [name, value] : more) kept.insert_or_assign(name, value);
  std::vector<std::string> variables;
  for (const auto& [name, value] : kept) variables.push_back(name + "=" + value);
  return variables;
}

}  // namespace muster::python_env
