#include "launcher/cli/wanted_files.h"

namespace muster::cli {
namespace {

constexpr std::string_view kSpecial = "*?[";

bool is_in_output_folders(std::string_view path) {
  return path.starts_with("outputs/") || path.starts_with("logs/");
}

// "outputs" of "outputs/*.pt": what is above the first pattern is not repeated below DEST.
std::string fixed_folder(const std::string& pattern) {
  const std::string head = pattern.substr(0, pattern.find_first_of(kSpecial));
  const std::size_t slash = head.rfind('/');
  return slash == std::string::npos ? "" : head.substr(0, slash + 1);
}

std::vector<WantedFile> matching(const std::string& pattern,
                                 const std::vector<std::string>& files) {
  const bool in_any_folder = pattern.find('/') == std::string::npos;
  const IgnorePattern glob(in_any_folder ? pattern : "/" + pattern);
  const bool names_its_folder = !fixed_folder(pattern).empty();
  std::vector<WantedFile> wanted;
  for (const std::string& file : files) {
    if (!names_its_folder && !is_in_output_folders(file)) continue;
    if (!is_meant(file, glob)) continue;
    std::string base = fixed_folder(pattern);
    if (base.empty() && file.starts_with("outputs/")) base = "outputs/";
    wanted.push_back({file, file.substr(base.size())});
  }
  return wanted;
}

}  // namespace

bool is_pattern(std::string_view word) {
  return word.find_first_of(kSpecial) != std::string_view::npos;
}

bool is_meant(const std::string& path, const IgnorePattern& pattern) {
  for (std::size_t end = path.find('/'); end != std::string::npos; end = path.find('/', end + 1)) {
    if (pattern.matches(path.substr(0, end))) return true;
  }
  return pattern.matches(path);
}

std::vector<WantedFile> find_wanted(const std::string& word,
                                    const std::vector<std::string>& files) {
  std::string name = word;
  while (name.size() > 1 && name.back() == '/') name.pop_back();
  for (const std::string& prefix : {std::string(), std::string("outputs/")}) {
    const std::string path = prefix + name;
    std::vector<WantedFile> wanted;
    if (is_pattern(name)) {
      wanted = matching(path, files);
    } else {
      const std::string above = path.substr(0, path.rfind('/') + 1);
      for (const std::string& file : files) {
        if (file == path || file.starts_with(path + "/")) {
          wanted.push_back({file, file.substr(above.size())});
        }
      }
    }
    if (!wanted.empty()) return wanted;
  }
  return {};
}

}  // namespace muster::cli
