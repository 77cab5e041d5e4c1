#include "launcher/data/transfer_rclone.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <deque>
#include <optional>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/process.h"
#include "base/text.h"
#include "base/time_text.h"
#include "launcher/data/transfer_ledger.h"

namespace muster::data {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

// From here on a file is fetched piece by piece, so that it can be continued.
constexpr std::uint64_t kLarge = std::uint64_t{32} << 20;
constexpr std::uint64_t kNoted = std::uint64_t{8} << 20;
constexpr std::size_t kLastLines = 5;
constexpr std::size_t kPipe = 1 << 20;

const std::vector<std::string> kTold = {"--use-json-log", "--stats", "500ms", "--stats-log-level",
                                        "NOTICE"};

Failure data_error(const std::string& doing, int error_number = errno) {
  return Failure(system_error(ErrorCode::kData, doing, error_number));
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Failure not_started(const StartFailure& failure, const ChildSpec& spec) {
  if (failure.exit_code() == 127) {
    return fail(ErrorCode::kData, spec.program + " was not found, which moves this data",
                "install it (apt-get install rclone), or name its file in datastores.yaml");
  }
  return fail(ErrorCode::kData, failure.describe(spec));
}

// rclone's own date at the beginning of a line says nothing that we do not know.
std::string_view without_date(std::string_view line) {
  constexpr std::string_view kShape = "2026/11/23 12:41:22 ";
  if (line.size() > kShape.size() && line[4] == '/' && line[7] == '/' && line[13] == ':') {
    line.remove_prefix(kShape.size());
  }
  return line;
}

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::nanoseconds(now).count();
}

// A child with its output; its last words are kept.
struct Running {
  Child child;
  Fd out;
  Fd err;
};

Result<Running> start(const std::vector<std::string>& argv, int stdin_fd, bool wants_stdout) {
  MUSTER_TRY_ASSIGN(Pipe out, make_pipe());
  MUSTER_TRY_ASSIGN(Pipe err, make_pipe());
  MUSTER_TRY_ASSIGN(const Fd nothing, open_file("/dev/null", O_RDWR));
  ::fcntl(out.read_end.get(), F_SETPIPE_SZ, kPipe);
  ChildSpec spec;
  spec.program = argv.front();
  spec.search_path = variable("PATH");
  spec.argv = argv;
  spec.environment = own_environment();
  spec.stdin_fd = stdin_fd >= 0 ? stdin_fd : nothing.get();
  spec.stdout_fd = wants_stdout ? out.write_end.get() : nothing.get();
  spec.stderr_fd = err.write_end.get();
  spec.parent_death_signal = SIGKILL;
  auto child = Child::start(spec);
  if (!child) return not_started(child.error(), spec);
  return Running{std::move(*child), std::move(out.read_end), std::move(err.read_end)};
}

// Small pieces that end in a newline, out of pieces as they come.
class Lines {
 public:
  template <typename Use>
  void add(std::string_view bytes, Use use) {
    rest_ += bytes;
    std::size_t begin = 0;
    for (std::size_t end; (end = rest_.find('\n', begin)) != std::string::npos; begin = end + 1) {
      use(std::string_view(rest_).substr(begin, end - begin));
    }
    rest_.erase(0, begin);
  }

 private:
  std::string rest_;
};

// "md5" of what is written to it, by rclone's own reckoning: it knows every store's.
class Hasher {
 public:
  static Result<Hasher> start_one(const std::vector<std::string>& words, const std::string& type) {
    Hasher hasher;
    MUSTER_TRY_ASSIGN(Pipe pipe, make_pipe());
    ::fcntl(pipe.write_end.get(), F_SETPIPE_SZ, kPipe);
    std::vector<std::string> argv = words;
    argv.insert(argv.end(), {"hashsum", type});
    MUSTER_TRY_ASSIGN(hasher.running_, start(argv, pipe.read_end.get(), true));
    hasher.in_ = std::move(pipe.write_end);
    return hasher;
  }

  Result<> add(std::string_view bytes) { return write_all(in_, bytes); }

  Result<std::string> finish() {
    in_.reset();
    std::array<char, 4096> buffer{};
    std::string text;
    for (ssize_t got; (got = ::read(running_.out.get(), buffer.data(), buffer.size())) > 0;) {
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
    const Reaped reaped = running_.child.reap();
    if (!reaped.status.ok()) {
      return fail(ErrorCode::kData, "rclone hashsum " + reaped.status.describe());
    }
    return text.substr(0, text.find(' '));
  }

 private:
  Running running_;
  Fd in_;
};

Result<> feed_what_is_there(const Fd& file, std::uint64_t length, Hasher& hasher,
                            TransferProgress& progress) {
  std::vector<char> buffer(kPipe);
  for (std::uint64_t at = 0; at < length;) {
    const ssize_t got =
        ::pread(file.get(), buffer.data(), std::min<std::uint64_t>(buffer.size(), length - at),
                static_cast<off64_t>(at));
    if (got <= 0) return data_error("reading what was fetched before");
    MUSTER_TRY(hasher.add({buffer.data(), static_cast<std::size_t>(got)}));
    at += static_cast<std::uint64_t>(got);
    progress.moved();
  }
  return {};
}

std::string joined(const std::string& remote, const std::string& path) {
  const bool bare = remote.ends_with(':') || remote.ends_with('/');
  return remote + (bare ? "" : "/") + path;
}

// Of an error that rclone says about one file, or about all.
std::string message_of(const json& text) {
  const std::string object = text.value("object", "");
  return (object.empty() ? "" : object + ": ") + text.value("msg", "");
}

}  // namespace

std::vector<std::string> options_for_copies(const std::vector<std::string>& options) {
  constexpr std::array<std::string_view, 32> kOfMounts = {"--allow-non-empty",
                                                          "--allow-other",
                                                          "--allow-root",
                                                          "--async-read",
                                                          "--attr-timeout",
                                                          "--daemon",
                                                          "--daemon-timeout",
                                                          "--daemon-wait",
                                                          "--debug-fuse",
                                                          "--devname",
                                                          "--default-permissions",
                                                          "--dir-cache-time",
                                                          "--dir-perms",
                                                          "--file-perms",
                                                          "--fuse-flag",
                                                          "--gid",
                                                          "--max-read-ahead",
                                                          "--network-mode",
                                                          "--no-checksum",
                                                          "--no-modtime",
                                                          "--no-seek",
                                                          "--noappledouble",
                                                          "--noapplexattr",
                                                          "--option",
                                                          "-o",
                                                          "--poll-interval",
                                                          "--read-only",
                                                          "--uid",
                                                          "--umask",
                                                          "--volname",
                                                          "--write-back-cache",
                                                          "--mount-case-insensitive"};
  std::vector<std::string> left;
  bool skipping = false;  // the value of one that was left out
  for (const std::string& word : options) {
    const bool option = word.starts_with('-');
    if (option) {
      const std::string_view name = std::string_view(word).substr(0, word.find('='));
      skipping = name.starts_with("--vfs-") ||
                 std::find(kOfMounts.begin(), kOfMounts.end(), name) != kOfMounts.end();
    }
    if (!skipping) left.push_back(word);
  }
  return left;
}

RcloneLine parse_rclone_line(std::string_view line) {
  RcloneLine parsed;
  const json text = json::parse(line, nullptr, false);
  if (!text.is_object()) {
    parsed.message = without_date(line);
    // "NOTICE: Config file … not found": only told, nothing wrong.
    if (parsed.message.starts_with("NOTICE: ")) parsed.message.clear();
    return parsed;
  }
  try {
    if (const auto stats = text.find("stats"); stats != text.end()) {
      parsed.has_stats = true;
      parsed.files = stats->value("transfers", std::uint64_t{0});
      parsed.bytes = stats->value("bytes", std::uint64_t{0});
      if (const auto now = stats->find("transferring");
          now != stats->end() && now->is_array() && !now->empty()) {
        const json& first = now->front();
        parsed.at = first.is_object() ? first.value("name", "") : first.get<std::string>();
      }
    } else if (const std::string level = text.value("level", "");
               level == "error" || level == "critical" || level == "fatal") {
      parsed.message = message_of(text);
    }
  } catch (const json::exception&) {
    return parsed;
  }
  return parsed;
}

Result<Manifest> parse_rclone_list(std::string_view text, const std::string& hash_type,
                                   std::int64_t listed_at_ns) {
  Manifest manifest;
  try {
    for (const json& each : json::parse(text)) {
      ManifestEntry entry;
      each.at("Path").get_to(entry.path);
      if (entry.path.empty() || entry.path.front() == '/' ||
          ("/" + entry.path + "/").find("/../") != std::string::npos) {
        return fail(ErrorCode::kData, "the remote has a name that no folder can have: " +
                                          without_controls(entry.path));
      }
      if (each.value("IsDir", false)) {
        entry.kind = ManifestEntry::Kind::kFolder;
        entry.mode = 0755;
        manifest.entries.push_back(std::move(entry));
        continue;
      }
      const auto size = each.value("Size", std::int64_t{0});
      if (size < 0) {
        manifest.remarks.push_back(entry.path + " has no size, so it is no file that can be " +
                                   "fetched, and is left out");
        continue;
      }
      entry.size = entry.allocated = static_cast<std::uint64_t>(size);
      if (const auto time = parse_time(each.value("ModTime", ""))) {
        const auto since = std::chrono::nanoseconds(time->time_since_epoch()).count();
        if (since > 0 && since < listed_at_ns) entry.mtime_ns = since;
      }
      if (const auto hashes = each.find("Hashes"); hashes != each.end() && !hash_type.empty()) {
        const std::string hash = hashes->value(hash_type, "");
        if (!hash.empty()) entry.hash = hash_type + ":" + hash;
      }
      manifest.entries.push_back(std::move(entry));
    }
  } catch (const json::exception& problem) {
    return fail(ErrorCode::kData,
                std::string("rclone's list of the files cannot be read: ") + problem.what());
  }
  manifest.settle();
  return manifest;
}

Result<> Rclone::run(const std::vector<std::string>& arguments, const std::string& doing,
                     const OnBytes& on_bytes, std::uint64_t files_before,
                     std::uint64_t bytes_before) const {
  std::vector<std::string> argv = words_;
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.push_back("--ask-password=false");
  MUSTER_TRY_ASSIGN(Running running, start(argv, -1, static_cast<bool>(on_bytes)));
  std::deque<std::string> last;
  Lines lines;
  const auto on_line = [&](std::string_view line) {
    const RcloneLine parsed = parse_rclone_line(line);
    if (parsed.has_stats) {
      if (!parsed.at.empty()) progress_.at(parsed.at);
      progress_.done_so_far(files_before + parsed.files, bytes_before + parsed.bytes);
    }
    if (parsed.message.empty()) return;
    last.push_back(without_controls(parsed.message));
    if (last.size() > kLastLines) last.pop_front();
  };
  std::vector<char> buffer(kPipe);
  // Reads what there is; false at the end.
  const auto drain = [&](Fd& from, const auto& use) -> Result<> {
    const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) return {};
    if (got <= 0) {
      from.reset();
      return {};
    }
    return use(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  };
  while (running.out || running.err) {
    std::array<pollfd, 2> waiting = {pollfd{running.out.get(), POLLIN, 0},
                                     pollfd{running.err.get(), POLLIN, 0}};
    if (::poll(waiting.data(), waiting.size(), -1) < 0 && errno != EINTR) break;
    if (waiting[0].revents != 0) {
      MUSTER_TRY(drain(running.out, [&](std::string_view bytes) -> Result<> {
        return on_bytes ? on_bytes(bytes) : Result<>{};
      }));
    }
    if (waiting[1].revents != 0) {
      MUSTER_TRY(drain(running.err, [&](std::string_view bytes) -> Result<> {
        lines.add(bytes, on_line);
        return {};
      }));
    }
  }
  const Reaped reaped = running.child.reap();
  if (reaped.status.ok()) return {};
  std::string text = doing + ": rclone " + reaped.status.describe();
  for (const std::string& line : last) text += (&line == &last.front() ? ": " : "; ") + line;
  return fail(ErrorCode::kData, text);
}

Result<std::string> Rclone::ask(const std::vector<std::string>& arguments,
                                const std::string& doing) const {
  std::string text;
  MUSTER_TRY(run(arguments, doing, [&](std::string_view bytes) -> Result<> {
    text += bytes;
    progress_.moved();
    return {};
  }));
  return text;
}

Result<Rclone::Remote> Rclone::look_at(const TransferSpec& spec) const {
  // rclone answers for folders only.
  const std::string remote = spec.type == TransferType::kFolder
                                 ? spec.source
                                 : spec.source.substr(0, spec.source.find_last_of(":/") + 1);
  MUSTER_TRY_ASSIGN(const std::string text,
                    ask({"backend", "features", remote}, "asking what " + remote + " can do"));
  Remote about;
  const json given = json::parse(text, nullptr, false);
  if (!given.is_object()) return about;
  try {
    const bool slow = given.value("Features", json::object()).value("SlowHash", false);
    const json hashes = given.value("Hashes", json::array());
    if (!slow && hashes.is_array() && !hashes.empty()) about.hash_type = hashes.front();
  } catch (const json::exception&) {
    about.hash_type.clear();
  }
  return about;
}

Result<Manifest> Rclone::list(const TransferSpec& spec, const std::string& remote,
                              const Remote& about) const {
  const std::int64_t listed_at = now_ns();
  std::vector<std::string> arguments = {"lsjson", "--no-mimetype", "--use-server-modtime"};
  if (!about.hash_type.empty()) {
    arguments.insert(arguments.end(), {"--hash", "--hash-type", about.hash_type});
  }
  for (const std::string& each : spec.include)
    arguments.insert(arguments.end(), {"--include", each});
  const bool folder = spec.type == TransferType::kFolder;
  arguments.push_back(folder ? "--recursive" : "--stat");
  arguments.push_back(remote);
  MUSTER_TRY_ASSIGN(const std::string text, ask(arguments, "listing " + remote));
  MUSTER_TRY_ASSIGN(Manifest manifest, parse_rclone_list(folder ? text : "[" + text + "]",
                                                         about.hash_type, listed_at));
  if (!folder && !manifest.entries.empty() &&
      manifest.entries.front().kind == ManifestEntry::Kind::kFolder) {
    return fail(ErrorCode::kData, remote + " is a folder", "write `type: folder`");
  }
  if (manifest.files == 0) return fail(ErrorCode::kData, "there is no file in " + remote);
  return manifest;
}

Result<Manifest> Rclone::list_some(const std::string& remote, const fs::path& names) const {
  const std::int64_t listed_at = now_ns();
  auto text = ask({"lsjson", "--no-mimetype", "--use-server-modtime", "--recursive", "--files-only",
                   "--files-from-raw", names.string(), remote},
                  "listing " + remote);
  if (!text) {
    // A folder that the upload is to make.
    if (text.error().message.find("directory not found") != std::string::npos) return Manifest{};
    return Failure(std::move(text).error());
  }
  return parse_rclone_list(*text, "", listed_at);
}

Result<std::uint64_t> Rclone::download_large(const std::string& remote, const ManifestEntry& entry,
                                             const fs::path& target,
                                             const fs::path& ledgers) const {
  const std::string doing = "fetching " + remote;
  progress_.at(entry.path);
  MUSTER_TRY_ASSIGN(TransferLedger ledger, TransferLedger::open(ledgers, entry));
  const int fresh = ledger.done() == 0 ? O_TRUNC : 0;
  const Fd file(::open(target.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | fresh, 0600));
  if (!file) return data_error(doing + " to " + target.string());
  const std::uint64_t kept = ledger.done();
  progress_.bytes_done(kept);
  const std::size_t colon = entry.hash.find(':');
  std::optional<Hasher> hasher;
  if (colon != std::string::npos) {
    MUSTER_TRY_ASSIGN(Hasher started, Hasher::start_one(words_, entry.hash.substr(0, colon)));
    hasher.emplace(std::move(started));
    MUSTER_TRY(feed_what_is_there(file, kept, *hasher, progress_));
  }
  std::uint64_t at = kept;
  const auto store = [&](std::string_view bytes) -> Result<> {
    if (at + bytes.size() > entry.size) {
      return fail(ErrorCode::kData, doing + ": it has more bytes than its list said");
    }
    for (std::size_t put = 0; put < bytes.size();) {
      const ssize_t written = ::pwrite(file.get(), bytes.data() + put, bytes.size() - put,
                                       static_cast<off64_t>(at + put));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return data_error(doing + " to " + target.string());
      put += static_cast<std::size_t>(written);
    }
    if (hasher) MUSTER_TRY(hasher->add(bytes));
    at += bytes.size();
    progress_.bytes_done(bytes.size());
    return at - ledger.done() >= kNoted ? ledger.note(at) : Result<>{};
  };
  if (at < entry.size) {
    MUSTER_TRY(run({"cat", "--offset", std::to_string(at), remote}, doing, store));
  }
  if (at != entry.size) {
    return fail(ErrorCode::kData, doing + ": its list said " + std::to_string(entry.size) +
                                      " bytes, and " + std::to_string(at) + " came");
  }
  if (hasher) {
    MUSTER_TRY_ASSIGN(const std::string found, hasher->finish());
    if (found != entry.hash.substr(colon + 1)) {
      ledger.remove();  // all of it is in doubt
      return fail(ErrorCode::kData,
                  doing + ": its " + entry.hash.substr(0, colon) + " is " + found +
                      ", and should be " + entry.hash.substr(colon + 1),
                  "start again: the file is then fetched anew");
    }
  }
  MUSTER_TRY(finish_file(file, target, entry));
  ledger.remove();
  progress_.file_done();
  return kept;
}

Result<CopyCounts> Rclone::download(const TransferSpec& spec, const Manifest& manifest,
                                    const Remote& about, const fs::path& to,
                                    const fs::path& ledgers) const {
  MUSTER_TRY(make_directories(to));
  remove_strangers(manifest, to);
  MUSTER_TRY(check_room(manifest, to, ledgers));
  MUSTER_TRY(make_folders(manifest, to));
  CopyCounts counts;
  std::vector<const ManifestEntry*> small;
  std::vector<const ManifestEntry*> large;
  for (const ManifestEntry& entry : manifest.entries) {
    if (entry.kind != ManifestEntry::Kind::kFile) continue;
    if (is_done(to / entry.path, entry)) {
      ++counts.kept_files;
      counts.kept_bytes += entry.size;
      progress_.bytes_done(entry.size);
      progress_.file_done();
    } else {
      (entry.size >= kLarge ? large : small).push_back(&entry);
    }
  }
  const bool one_file = spec.type == TransferType::kFile;
  if (!small.empty()) {
    std::vector<std::string> arguments = {"copy", "--use-server-modtime", "--transfers", "8"};
    arguments.insert(arguments.end(), kTold.begin(), kTold.end());
    if (!about.hash_type.empty()) arguments.push_back("--checksum");
    // All at once needs no list, and is what rclone does best.
    if (!one_file && small.size() != manifest.files) {
      std::string names;
      for (const ManifestEntry* each : small) names += each->path + "\n";
      MUSTER_TRY(make_directories(ledgers));
      MUSTER_TRY(replace_file(ledgers / "names", names));
      arguments.insert(arguments.end(), {"--files-from-raw", (ledgers / "names").string()});
    } else {
      for (const std::string& each : spec.include) {
        arguments.insert(arguments.end(), {"--include", each});
      }
    }
    arguments.insert(arguments.end(), {spec.source, to.string()});
    const TransferState before = progress_.state();
    MUSTER_TRY(run(arguments, "fetching " + spec.source, {}, before.files_done, before.bytes_done));
    std::uint64_t bytes = 0;
    for (const ManifestEntry* each : small) {
      const fs::path path = to / each->path;
      MUSTER_TRY(check_and_finish(path, *each));
      bytes += each->size;
    }
    counts.files += small.size();
    counts.bytes += bytes;
    progress_.done_so_far(before.files_done + small.size(), before.bytes_done + bytes);
  }
  for (const ManifestEntry* each : large) {
    const std::string remote = one_file ? spec.source : joined(spec.source, each->path);
    MUSTER_TRY_ASSIGN(const std::uint64_t kept,
                      download_large(remote, *each, to / each->path, ledgers));
    ++counts.files;
    counts.bytes += each->size - kept;
    counts.kept_bytes += kept;
  }
  return counts;
}

Result<> Rclone::upload(const std::string& from, const std::string& remote,
                        const fs::path& names) const {
  std::vector<std::string> arguments = {"copy",         "--files-from-raw", names.string(),
                                        "--copy-links", "--transfers",      "8"};
  arguments.insert(arguments.end(), kTold.begin(), kTold.end());
  arguments.insert(arguments.end(), {from, remote});
  const TransferState before = progress_.state();
  return run(arguments, "uploading to " + remote, {}, before.files_done, before.bytes_done);
}

}  // namespace muster::data
