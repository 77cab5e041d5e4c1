// `muster cache`: what is in the cache of downloaded inputs, and making room in it.

#include <nlohmann/json.hpp>

#include <cstdio>

#include "base/cache_directory.h"
#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"
#include "launcher/cli/commands.h"
#include "launcher/data/cache.h"

namespace muster::cli {
namespace {

using nlohmann::json;

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

// "10GiB", "500m", "0": powers of 1024, as df -h has them.
std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  constexpr std::string_view kUnits = "bkmgtp";
  std::size_t digits = 0;
  while (digits < text.size() && (text[digits] >= '0' && text[digits] <= '9')) ++digits;
  const auto number = parse_integer(text.substr(0, digits));
  if (!number || digits > 12) return std::nullopt;
  std::string unit;
  for (const char c : text.substr(digits)) unit += static_cast<char>(c | 0x20);
  if (unit.empty()) return static_cast<std::uint64_t>(*number);
  const std::size_t power = kUnits.find(unit.front());
  const std::string_view rest = std::string_view(unit).substr(1);
  if (power == std::string_view::npos || (!rest.empty() && rest != "b" && rest != "ib")) {
    return std::nullopt;
  }
  return static_cast<std::uint64_t>(*number) << (10 * power);
}

std::string state_of(const data::CacheEntry& entry) {
  if (entry.in_use) return entry.complete ? "in use" : "being made";
  return entry.complete ? "complete" : "half-made";
}

std::string source_of(const data::CacheEntry& entry) {
  return entry.note.source.empty() ? "-" : without_controls(entry.note.source);
}

json json_of(const data::CacheEntry& entry) {
  return {{"folder", entry.folder.string()}, {"source", entry.note.source},
          {"version", entry.note.version},   {"files", entry.note.files},
          {"bytes", entry.note.bytes},       {"disk_bytes", entry.disk_bytes},
          {"made_at", entry.note.made_at},   {"used_at", format_utc(entry.used_at)},
          {"state", state_of(entry)}};
}

std::string as_text(const json& value) {
  return without_raw_controls(value.dump(2, ' ', false, json::error_handler_t::replace)) + "\n";
}

std::string table_of(const std::vector<data::CacheEntry>& entries) {
  TextTable table({{"entry"},
                   {"files", TextTable::Align::kRight},
                   {"size", TextTable::Align::kRight},
                   {"last used (UTC)"},
                   {"state"},
                   {"source"}});
  for (const data::CacheEntry& entry : entries) {
    table.add_row({entry.folder.filename().string(),
                   entry.complete ? std::to_string(entry.note.files) : "-",
                   format_bytes(entry.disk_bytes), format_utc(entry.used_at).substr(0, 19),
                   state_of(entry), source_of(entry)});
  }
  return table.to_string();
}

CommandResult list(const CommandLine& line, const std::filesystem::path& root) {
  const auto entries = data::list_entries(root);
  if (!entries) return problem(entries.error());
  if (line.format == Format::kJson) {
    json list = json::array();
    for (const data::CacheEntry& entry : *entries) list.push_back(json_of(entry));
    return print(as_text(list));
  }
  if (entries->empty()) {
    std::fprintf(stderr, "muster: nothing in %s\n", root.c_str());
    return 0;
  }
  std::uint64_t bytes = 0;
  for (const data::CacheEntry& entry : *entries) bytes += entry.disk_bytes;
  return print(table_of(*entries) + format_bytes(bytes) + " in " + root.string() + "\n");
}

CommandResult prune(const CommandLine& line, const std::filesystem::path& root) {
  const auto text = line.text("max-size");
  if (!text) {
    return problem({ErrorCode::kUsage, "muster cache prune: how much is to stay?",
                    "write --max-size 50g, or --max-size 0 for nothing", std::nullopt});
  }
  const auto most = parse_bytes(*text);
  if (!most) {
    return problem({ErrorCode::kUsage, line.as_given("max-size") + " is no size",
                    "write a number and a unit: 500m, 50g, 2t", std::nullopt});
  }
  const auto pruned = data::prune_entries(root, *most);
  if (!pruned) return problem(pruned.error());
  std::uint64_t freed = 0;
  std::size_t in_use = 0;
  json removed = json::array();
  for (const data::CacheEntry& entry : pruned->removed) {
    freed += entry.disk_bytes;
    removed.push_back(json_of(entry));
  }
  for (const data::CacheEntry& entry : pruned->left) in_use += entry.in_use ? 1 : 0;
  if (line.format == Format::kJson) {
    return print(as_text({{"removed", removed},
                          {"freed_bytes", freed},
                          {"left", pruned->left.size()},
                          {"left_bytes", pruned->left_bytes},
                          {"left_in_use", in_use}}));
  }
  std::string said = "removed " +
                     counted(static_cast<std::int64_t>(pruned->removed.size()), "download") + ", " +
                     format_bytes(freed) + "; " + std::to_string(pruned->left.size()) + " left, " +
                     format_bytes(pruned->left_bytes);
  if (in_use > 0) said += ", " + std::to_string(in_use) + " of them in use";
  return print(said + "\n");
}

}  // namespace

CommandResult cache_command(const CommandLine& line) {
  const auto base = cache_directory(caller_environment());
  if (!base) return problem(base.error());
  const auto root = *base / "data";
  const std::string word = line.words.empty() ? "list" : line.words.front();
  if (line.words.size() <= 1 && !line.after_dashes) {
    if (word == "list") return list(line, root);
    if (word == "prune") return prune(line, root);
  }
  return problem({ErrorCode::kUsage, "muster cache: list or prune, not \"" + word + "\"",
                  "`muster cache --help` shows what it takes", std::nullopt});
}

}  // namespace muster::cli
