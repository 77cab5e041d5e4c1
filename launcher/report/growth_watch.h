// Waits until followed files may have grown.
#pragma once

#include <chrono>
#include <filesystem>
#include <utility>

#include "base/fd.h"

namespace muster::report {

// The kernel tells, where it can.  What another machine writes to a shared file system is not told;
// the first growth that was found without having been told makes this look every 30 ms from then
// on.
class GrowthWatch {
 public:
  // `output_fd`: nobody waits any longer once its reader has gone.
  explicit GrowthWatch(int output_fd);

  void add_file(const std::filesystem::path& file);
  // New names in it: a file that is replaced.
  void add_directory(const std::filesystem::path& directory);

  // The longest that one may wait: `most`, or less where nobody tells.
  // False: the reader of the output has gone.
  bool wait(std::chrono::milliseconds most);
  // That long, or until the reader has gone.
  bool pause(std::chrono::steady_clock::duration length);

  // A file was found to have grown.
  void note_growth();
  // Whether a directory had a new name since the last call.
  bool take_new_name() { return std::exchange(new_name_, false); }

 private:
  bool take_events();

  int output_fd_;
  Fd inotify_;
  bool told_ = false;  // the last wait ended because the kernel said so
  bool new_name_ = false;
  bool polling_ = false;  // it does not always
};

}  // namespace muster::report
