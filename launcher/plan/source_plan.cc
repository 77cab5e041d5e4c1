#include "launcher/plan/source_plan.h"

#include "base/text.h"

namespace muster::plan {
namespace {

std::string shown(const SourceItem& item) {
  const std::string size = format_bytes(static_cast<std::uint64_t>(item.bytes));
  return item.path + " (" + (item.files > 1 ? counted(item.files, "file") + ", " : "") + size + ")";
}

std::string largest(const SourceFacts& facts) {
  std::vector<std::string> items;
  for (const SourceItem& item : facts.largest) items.push_back(shown(item));
  return join(items, ", ");
}

Result<> check_limits(const config::RunConfig& config, const std::string& directory,
                      const SourceFacts& facts) {
  const auto& files = config.source.limit_files;
  const auto& bytes = config.source.limit_bytes;
  const bool too_many = facts.files > files.value;
  if (!too_many && facts.bytes <= bytes.value && facts.complete) return {};
  const bool by_count = too_many || !facts.complete;
  const std::string limit =
      by_count ? counted(files.value, "file") + " (source.limit_files)"
               : format_bytes(static_cast<std::uint64_t>(bytes.value)) + " (source.limit_bytes)";
  Error error{ErrorCode::kData,
              "source_directory " + directory + " has " + (facts.complete ? "" : "more than ") +
                  source_size(facts) + ", and at most " + limit +
                  " are copied; the largest: " + largest(facts),
              "name what a run does not need in " +
                  (facts.ignore_file.empty() ? ".amlignore or .gitignore" : facts.ignore_file) +
                  " there, raise " + (by_count ? "source.limit_files" : "source.limit_bytes") +
                  ", or run in it without a copy: --in-place",
              config.source_directory.origin.location};
  return Failure(std::move(error));
}

Result<> check_links(const config::RunConfig& config, const std::string& directory,
                     const SourceFacts& facts) {
  if (facts.links_outside.empty()) return {};
  constexpr std::size_t kMostShown = 5;
  std::vector<std::string> some = facts.links_outside;
  const std::size_t more = some.size() > kMostShown ? some.size() - kMostShown : 0;
  some.resize(some.size() - more);
  if (more > 0) some.push_back("and " + std::to_string(more) + " more");
  Error error{ErrorCode::kData,
              counted(static_cast<std::int64_t>(facts.links_outside.size()), "link") +
                  " in source_directory " + directory +
                  " would not lead into the copy: " + join(some, ", "),
              "a link must be relative and lead to something in the tree; leave it out with " +
                  (facts.ignore_file.empty() ? ".amlignore or .gitignore" : facts.ignore_file) +
                  ", name its target as an input, or run without a copy: --in-place",
              config.source_directory.origin.location};
  return Failure(std::move(error));
}

}  // namespace

std::string source_size(const SourceFacts& facts) {
  return counted(facts.files, "file") + ", " +
         format_bytes(static_cast<std::uint64_t>(facts.bytes));
}

Result<SourcePlan> plan_source(const config::RunConfig& config, const std::string& directory,
                               const SourceFacts& facts) {
  MUSTER_TRY(check_limits(config, directory, facts));
  MUSTER_TRY(check_links(config, directory, facts));
  return SourcePlan{facts, config.source.limit_files.value, config.source.limit_bytes.value};
}

std::string url_without_credentials(std::string url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return url;  // a path, or git@host:path, whose user is no secret
  const std::size_t begin = scheme + 3;
  const std::size_t end = std::min(url.find('/', begin), url.size());
  const std::size_t at = url.rfind('@', end);
  if (at != std::string::npos && at >= begin) {
    // Over SSH a user name is part of the address; over HTTP it may be a token.
    const bool keeps_user = url.starts_with("ssh://") || url.starts_with("git+ssh://");
    const std::size_t colon = url.find(':', begin);
    const std::size_t from = !keeps_user ? begin : std::min(colon, at);
    url.erase(from, keeps_user ? at - from : at + 1 - from);
  }
  return url.substr(0, url.find_first_of("?#"));
}

void read_git_status(const std::string& text, GitState& state) {
  state.dirty = false;
  for (const std::string& line : split(text, '\n')) {
    const auto value = [&](std::string_view name) -> std::optional<std::string> {
      if (!line.starts_with(name)) return std::nullopt;
      return line.substr(name.size());
    };
    if (const auto oid = value("# branch.oid ")) {
      if (*oid != "(initial)") state.commit = *oid;
    } else if (const auto head = value("# branch.head ")) {
      if (*head != "(detached)") state.branch = *head;
    } else if (!line.empty() && !line.starts_with('#')) {
      state.dirty = true;
    }
  }
}

}  // namespace muster::plan
