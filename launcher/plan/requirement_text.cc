#include "launcher/plan/requirement_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/text.h"

namespace muster::plan {
namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_name_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
}

std::string_view leading_name(std::string_view text) {
  const auto end = std::find_if_not(text.begin(), text.end(), is_name_character);
  return text.substr(0, static_cast<std::size_t>(end - text.begin()));
}

bool looks_like_path(std::string_view text) {
  return text.starts_with('.') || text.starts_with('/') || text.starts_with("file:") ||
         (text.find('/') != std::string_view::npos && text.find("://") == std::string_view::npos &&
          text.find('@') == std::string_view::npos) ||
         text.ends_with(".whl") || text.ends_with(".tar.gz") || text.ends_with(".zip");
}

std::string path_of_url(std::string_view text) {
  if (text.starts_with("file://"))
    text.remove_prefix(7);
  else if (text.starts_with("file:"))
    text.remove_prefix(5);
  return std::string(text.substr(0, text.find_first_of("[#;")));
}

// conda's name, and what the same package is called on PyPI; "" when it has none there.
constexpr std::array<std::pair<std::string_view, std::string_view>, 18> kNamesOnPypi{{
    {"python", ""},
    {"pip", ""},
    {"cudatoolkit", ""},
    {"cuda-toolkit", ""},
    {"cudnn", ""},
    {"nccl", ""},
    {"openmpi", ""},
    {"mpich", ""},
    {"libgcc-ng", ""},
    {"libstdcxx-ng", ""},
    {"gcc-linux-64", ""},
    {"gxx-linux-64", ""},
    {"pytorch-cuda", ""},
    {"pytorch", "torch"},
    {"pytorch-gpu", "torch"},
    {"opencv", "opencv-python"},
    {"py-opencv", "opencv-python"},
    {"py-xgboost", "xgboost"},
}};

struct CondaSpec {
  std::string name;     // without its channel
  std::string version;  // as pip writes it: "==1.16.*", ">=1,<2"; "" for any
};

// conda writes "name=1.16" (any 1.16), "name==1.16.2", "name>=1,<2", "name 1.16.*", and a build
// after a further "=", which says exactly which one.
CondaSpec parse_conda_spec(std::string_view spec) {
  spec = trimmed(spec);
  if (const std::size_t channel = spec.rfind("::"); channel != std::string_view::npos) {
    spec = trimmed(spec.substr(channel + 2));
  }
  const std::string_view name = leading_name(spec);
  std::string_view rest = trimmed(spec.substr(name.size()));
  if (rest.starts_with('[')) rest = {};
  CondaSpec found{normalized_name(name), {}};
  const bool fuzzy = rest.starts_with('=') && !rest.starts_with("==");
  if (fuzzy) rest = trimmed(rest.substr(1));
  if (rest.empty() || rest == "*") return found;
  if (rest.find_first_of("<>!~|,") != std::string_view::npos || rest.starts_with("==")) {
    std::string text;
    for (const char c : rest) {
      if (kBlanks.find(c) == std::string_view::npos) text += c;
    }
    found.version = text;
    return found;
  }
  const std::size_t build = rest.find_first_of("= ");
  std::string version(rest.substr(0, build));
  const bool exact = build != std::string_view::npos;
  if (fuzzy && !exact && !version.ends_with('*')) version += ".*";
  found.version = "==" + version;
  return found;
}

std::vector<int> numbers_of(std::string_view version, bool& understood) {
  std::vector<int> numbers;
  for (const std::string& part : split(version, '.')) {
    const auto number = parse_integer(part);
    if (!number || *number < 0 || *number > 100'000) {
      understood = false;
      return {};
    }
    numbers.push_back(static_cast<int>(*number));
  }
  return numbers;
}

// 3.8 is 3.8.0.
int compare(std::vector<int> a, std::vector<int> b) {
  const std::size_t size = std::max(a.size(), b.size());
  a.resize(size);
  b.resize(size);
  return a < b ? -1 : a > b ? 1 : 0;
}

std::optional<bool> clause_fits(std::string_view version, std::string_view clause) {
  constexpr std::array<std::string_view, 6> kOperators = {"==", "!=", ">=", "<=", ">", "<"};
  const auto op = std::find_if(kOperators.begin(), kOperators.end(),
                               [&](std::string_view each) { return clause.starts_with(each); });
  if (op == kOperators.end()) return std::nullopt;
  std::string_view number = clause.substr(op->size());
  const bool prefix = number.ends_with(".*");
  if (prefix) number.remove_suffix(2);
  bool understood = true;
  std::vector<int> have = numbers_of(version, understood);
  const std::vector<int> want = numbers_of(number, understood);
  if (!understood || (prefix && *op != "==" && *op != "!=")) return std::nullopt;
  if (prefix && have.size() > want.size()) have.resize(want.size());
  const int order = compare(have, want);
  if (*op == "==") return order == 0;
  if (*op == "!=") return order != 0;
  if (*op == ">=") return order >= 0;
  if (*op == "<=") return order <= 0;
  return *op == ">" ? order > 0 : order < 0;
}

}  // namespace

std::string normalized_name(std::string_view name) {
  std::string normal;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (!separator) {
      normal += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    } else if (!normal.empty() && normal.back() != '-') {
      normal += '-';
    }
  }
  return normal;
}

std::string distribution_name(std::string_view requirement) {
  requirement = trimmed(requirement);
  if (requirement.starts_with('-')) return {};
  const std::string_view name = leading_name(requirement);
  const std::string_view rest = trimmed(requirement.substr(name.size()));
  // A name is followed by nothing, an extra, a version, a condition or "@ URL".
  if (rest.empty() && looks_like_path(requirement)) return {};
  if (!rest.empty() && std::string_view("[<>=!~;@,").find(rest.front()) == std::string_view::npos) {
    return {};
  }
  return normalized_name(name);
}

std::string distribution_of_file(std::string_view file_name) {
  return normalized_name(file_name.substr(0, file_name.find('-')));
}

std::vector<std::string> requirement_lines(std::string_view text) {
  std::vector<std::string> lines;
  std::string joined;
  for (std::string& line : split(text, '\n')) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty() && line.back() == '\\') {
      line.pop_back();
      joined += line;
      continue;
    }
    joined += line;
    // A comment begins a line, or follows a blank: "#" is part of many a URL.
    std::size_t comment = joined.starts_with('#') ? 0 : joined.find(" #");
    if (const std::size_t tab = joined.find("\t#"); tab < comment) comment = tab;
    const std::string_view rest = trimmed(std::string_view(joined).substr(0, comment));
    if (!rest.empty()) lines.emplace_back(rest);
    joined.clear();
  }
  if (const std::string_view rest = trimmed(joined); !rest.empty()) lines.emplace_back(rest);
  return lines;
}

std::optional<std::string> option_value(std::string_view line, std::string_view short_name,
                                        std::string_view long_name) {
  line = trimmed(line);
  for (const std::string_view name : {long_name, short_name}) {
    if (name.empty() || !line.starts_with(name)) continue;
    std::string_view rest = line.substr(name.size());
    const bool separated = rest.starts_with(' ') || rest.starts_with('=') || rest.starts_with('\t');
    // "-rother.txt" is one, "--requirementother.txt" is not.
    if (!separated && (name == long_name || rest.starts_with('-'))) continue;
    if (separated) rest.remove_prefix(1);
    return std::string(trimmed(rest));
  }
  return std::nullopt;
}

std::string local_path(std::string_view requirement) {
  requirement = trimmed(requirement);
  if (const auto editable = option_value(requirement, "-e", "--editable")) {
    return editable->find("://") == std::string::npos || editable->starts_with("file:")
               ? path_of_url(*editable)
               : "";
  }
  if (requirement.starts_with('-')) return {};
  if (const std::size_t at = requirement.find('@'); at != std::string_view::npos) {
    const std::string_view url = trimmed(requirement.substr(at + 1));
    return url.starts_with("file:") ? path_of_url(url) : "";
  }
  return looks_like_path(requirement) && requirement.find("://") == std::string_view::npos
             ? path_of_url(requirement)
         : requirement.starts_with("file:") ? path_of_url(requirement)
                                            : "";
}

std::optional<std::string> pip_requirement_of(std::string_view conda_spec) {
  CondaSpec spec = parse_conda_spec(conda_spec);
  for (const auto& [conda, pypi] : kNamesOnPypi) {
    if (spec.name != conda) continue;
    if (pypi.empty()) return std::nullopt;
    spec.name = pypi;
  }
  return spec.name + spec.version;
}

std::optional<std::string> python_version_of(std::string_view conda_spec) {
  CondaSpec spec = parse_conda_spec(conda_spec);
  if (spec.name != "python") return std::nullopt;
  return spec.version;
}

std::optional<bool> version_fits(std::string_view version, std::string_view wanted) {
  bool fits = true;
  for (const std::string& clause : split(wanted, ',')) {
    if (clause.empty()) continue;
    const auto one = clause_fits(version, clause);
    if (!one) return std::nullopt;
    fits = fits && *one;
  }
  return fits;
}

}  // namespace muster::plan
