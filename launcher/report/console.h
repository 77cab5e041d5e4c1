// Shows the run while it goes on: follows the stored files of the ranks, and prints Muster's lines
// and the status line between theirs.
//
// One thread of its own does all reading and writing, so a terminal that blocks delays nothing but
// itself.  The thread reads files that the data plane has written anyway; nothing is queued for it,
// so it can be any number of bytes behind without costing memory or losing a line.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

namespace muster::report {

enum class ConsoleMode { kRank0, kAll, kNone, kErrors };  // errors: stderr of every rank

struct ConsoleOptions {
  ConsoleMode mode = ConsoleMode::kRank0;
  bool prefix = false;  // "[3] " before each line of a rank
  int stdout_fd = 1;
  int stderr_fd = 2;
  bool stderr_is_terminal = false;
  bool stdout_is_terminal = false;
  bool color = true;
};

struct ConsoleState;

class Console {
 public:
  explicit Console(ConsoleOptions options);
  ~Console();  // as finish(1 s), if that was not called

  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  enum class From { kStart, kNow };  // now: from the line that is written at this moment

  // Shows what these files will hold, as far as the mode selects them.  They need not exist yet.
  // A second call for the same rank (a restart) ends the first pair of files.
  void follow(int rank, std::filesystem::path stdout_log, std::filesystem::path stderr_log,
              From from = From::kStart);

  // Some followed file has grown.  Never blocks; costs one atomic exchange while the thread is
  // busy.
  void grown();

  // The live status line, on a terminal only; "" takes it away.
  void set_status(std::string text);

  // A line of Muster's own, to stderr.  It comes after all that the files held when it was printed,
  // unless that takes long: then Muster's word comes first.
  void print(std::string line);

  // The terminal has another size.
  void redraw();

  // The terminal is another's until resume(): takes the status line away, and returns when all that
  // was printed so far is shown, or after `timeout`.
  void suspend(std::chrono::milliseconds timeout);
  void resume();

  // Shows what is left in the files, takes the status line away, ends the thread.  Gives up after
  // `timeout` when the other side does not read; a side that does still gets Muster's own lines.
  // Returns whether everything was shown (a side whose reader went away counts as shown).  Later
  // calls do nothing.
  bool finish(std::chrono::milliseconds timeout) { return finish("", timeout); }
  // The same with a last line of Muster's own, after what the files hold, unfinished lines
  // included.
  bool finish(std::string last_line, std::chrono::milliseconds timeout);

 private:
  // Shared with the thread, which may outlive us when it hangs in a write.
  std::shared_ptr<ConsoleState> state_;
  std::thread thread_;
};

}  // namespace muster::report
