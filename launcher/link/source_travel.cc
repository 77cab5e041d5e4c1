#include "launcher/link/source_travel.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::link {

namespace fs = std::filesystem;

namespace {

Failure cannot(const std::string& doing, const std::string& path, int error = errno) {
  return Failure(system_error(ErrorCode::kData, doing + " " + without_controls(path), error));
}

Failure as_data(Error error) {
  error.code = ErrorCode::kData;
  return Failure(std::move(error));
}

}  // namespace

Result<SourceSender> SourceSender::open(const fs::path& root) {
  SourceSender sender(root);
  std::error_code error;
  fs::recursive_directory_iterator at(root, error);
  for (; !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    sender.paths_.push_back(at->path().lexically_relative(root).string());
  }
  if (error) return cannot("reading", root.string(), error.value());
  // A folder before what is in it, and every node the same.
  std::sort(sender.paths_.begin(), sender.paths_.end());
  return sender;
}

Result<std::vector<protocol::SourcePart>> SourceSender::next() {
  std::vector<protocol::SourcePart> parts;
  for (std::uint64_t sent = 0; sent < kSourceWindow;) {
    protocol::SourcePart& part = parts.emplace_back();
    if (at_ == paths_.size()) return parts;
    const std::string& path = paths_[at_];
    const fs::path whole = root_ / path;
    struct stat facts {};
    if (::lstat(whole.c_str(), &facts) != 0) return cannot("reading", whole.string());
    part.set_path(path);
    part.set_mode(facts.st_mode & 07777U);
    if (S_ISLNK(facts.st_mode)) {
      std::error_code error;
      part.set_link_target(fs::read_symlink(whole, error).string());
      if (error) return cannot("reading", whole.string(), error.value());
    } else if (S_ISDIR(facts.st_mode)) {
      part.set_path(path + "/");
    } else if (S_ISREG(facts.st_mode)) {
      if (!file_) file_.reset(::open(whole.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
      if (!file_) return cannot("reading", whole.string());
      std::string bytes(kSourcePiece, '\0');
      ssize_t got = -1;
      do {
        got = ::pread(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset_));
      } while (got < 0 && errno == EINTR);
      if (got < 0) return cannot("reading", whole.string());
      bytes.resize(static_cast<std::size_t>(got));
      part.set_offset(offset_);
      offset_ += bytes.size();
      sent += bytes.size();
      part.set_last_of_file(bytes.size() < kSourcePiece);
      part.set_bytes(std::move(bytes));
      if (!part.last_of_file()) continue;
      file_.reset();
      offset_ = 0;
    } else {
      parts.pop_back();  // a FIFO is no source
    }
    ++at_;
  }
  return parts;
}

Result<SourceTaker> SourceTaker::open(const fs::path& root) {
  if (auto made = make_directories(root); !made) return as_data(std::move(made).error());
  auto opened = store::SafeRoot::open(root.string());
  if (!opened) return as_data(std::move(opened).error());
  return SourceTaker(std::move(*opened));
}

Result<SourceTaker::State> SourceTaker::take(const protocol::SourcePart& part) {
  const std::string& path = part.path();
  if (path.empty()) return State::kDone;
  const bool is_folder = path.back() == '/';
  const std::string name = is_folder ? path.substr(0, path.size() - 1) : path;
  if (const auto why = store::why_unsafe(name)) {
    return fail(ErrorCode::kData, "`" + without_controls(name) + "` of the source: " + *why);
  }
  if (is_folder) {
    if (auto made = root_.make_folder(name, part.mode() & 0777U); !made) {
      return as_data(std::move(made).error());
    }
    return State::kGoesOn;
  }
  if (!part.link_target().empty()) {
    if (auto made = root_.make_link(part.link_target(), name); !made) {
      return as_data(std::move(made).error());
    }
    ++files_;
    return State::kGoesOn;
  }
  if (part.offset() == 0) {
    auto opened = root_.open_file(name, O_WRONLY | O_CREAT | O_TRUNC, part.mode() & 0777U);
    if (!opened) return as_data(std::move(opened).error());
    file_ = std::move(*opened);
    if (::fchmod(file_.get(), part.mode() & 0777U) != 0) return cannot("writing", name);
  }
  const std::string& bytes = part.bytes();
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t put = ::pwrite(file_.get(), bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(part.offset() + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return cannot("writing", name, put < 0 ? errno : ENOSPC);
    done += static_cast<std::size_t>(put);
  }
  bytes_ += bytes.size();
  in_window_ += bytes.size();
  if (part.last_of_file()) {
    file_.reset();
    ++files_;
  }
  if (in_window_ < kSourceWindow) return State::kGoesOn;
  in_window_ = 0;
  return State::kWantsMore;
}

}  // namespace muster::link
