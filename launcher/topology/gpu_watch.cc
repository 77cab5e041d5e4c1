#include "launcher/topology/gpu_watch.h"

#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <unistd.h>
#include <utility>

#include "launcher/topology/nvidia_driver.h"
#include "launcher/topology/nvml_library.h"
#include "launcher/topology/nvml_source.h"

namespace muster::topology {
namespace {

constexpr std::size_t kLongestLine = 1U << 20;

void sleep_for(std::chrono::milliseconds time) {
  timespec left{};
  left.tv_sec = time.count() / 1000;
  left.tv_nsec = (time.count() % 1000) * 1'000'000;
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

// In the child: until nobody listens any more.
bool speak(const std::string& library_file, std::chrono::milliseconds first,
           std::chrono::milliseconds interval, const Fd& pipe) {
  ::setpgid(0, 0);  // Ctrl-C is for the launcher
  sleep_for(first);
  const auto library = nvml::Library::load(library_file);
  if (!library) return false;
  const nvml::Session session(library->functions());
  if (session.status() != nvml::kSuccess) return false;
  while (write_all(pipe, to_line(read_gpus(library->functions())))) sleep_for(interval);
  return true;
}

}  // namespace

Result<GpuWatch> GpuWatch::start(const std::string& library, std::chrono::milliseconds first,
                                 std::chrono::milliseconds interval) {
  MUSTER_TRY_ASSIGN(ForkedChild child, fork_child([&](const Fd& pipe) {
                      return speak(library, first, interval, pipe);
                    }));
  return GpuWatch(std::move(child));
}

GpuWatch::GpuWatch(GpuWatch&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)),
      output_(std::move(other.output_)),
      text_(std::move(other.text_)),
      ended_(other.ended_) {}

GpuWatch::~GpuWatch() {
  if (pid_ > 0) end_forked_child(pid_);
}

std::optional<std::vector<GpuReading>> GpuWatch::newest() {
  char buffer[16384];
  while (!ended_) {
    const ssize_t got = ::read(output_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) break;  // nothing more for now
    ended_ = got == 0;
    text_.append(buffer, static_cast<std::size_t>(got));
    if (text_.size() > kLongestLine) text_.clear();
  }
  const std::size_t end = text_.rfind('\n');
  if (end == std::string::npos) return std::nullopt;
  const std::size_t before = end == 0 ? std::string::npos : text_.rfind('\n', end - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  auto readings = readings_of(std::string_view(text_).substr(begin, end - begin));
  text_.erase(0, end + 1);
  return readings;
}

std::optional<std::string> nvml_to_watch() {
  if (const char* named = std::getenv(kNvmlVariable); named != nullptr && *named != '\0') {
    return named;
  }
  if (has_nvidia_driver("/")) return kNvmlLibrary;
  return std::nullopt;
}

}  // namespace muster::topology
