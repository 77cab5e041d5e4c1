// `muster transfer`: one download or upload, in a process of its own, so that a source that hangs
// can be left to itself.  The launcher writes its spec and reads its lines.

#include <cstdio>
#include <unistd.h>

#include "base/exit_code.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/cli/commands.h"
#include "launcher/data/transfer_run.h"

namespace muster::cli {
namespace {

void say(const std::string& line) {
  const std::string whole = line + "\n";
  static_cast<void>(!::write(STDOUT_FILENO, whole.data(), whole.size()));
}

Error stalled(const data::TransferSpec& spec, const data::TransferState& state) {
  return Error{ErrorCode::kData,
               data::subject_of(spec) + " (" + spec.shown + "): nothing has moved for " +
                   format_duration(spec.stall_timeout) +
                   (state.at.empty() ? "" : "; the last file was " + state.at),
               "look at the source; limits.transfer_stall_timeout is how long is waited",
               std::nullopt};
}

}  // namespace

CommandResult transfer_command(const CommandLine& line) {
  const auto text = read_file(line.text("spec").value_or("/dev/stdin"), 1 << 20);
  if (!text) return tl::unexpected<Problems>(Problems{text.error()});
  const auto spec = data::transfer_spec_from_json(*text);
  if (!spec) return tl::unexpected<Problems>(Problems{spec.error()});

  data::TransferProgress progress;
  const data::TransferWatch watch(
      progress, spec->stall_timeout,
      [](const data::TransferState& state) { say(data::progress_line(state)); },
      [&](const data::TransferState& state) {
        // Its threads may hang where nothing wakes them: nobody waits for them.
        const Error error = stalled(*spec, state);
        say(data::failure_line(error));
        std::fprintf(stderr, "%s\n", error.message.c_str());
        ::_exit(to_int(ExitCode::kData));
      });
  auto outcome = spec->direction == data::TransferDirection::kDownload
                     ? data::download(*spec, progress)
                     : data::upload(*spec, progress);
  if (!outcome) {
    Error error = std::move(outcome).error();
    error.code = ErrorCode::kData;
    error = std::move(error).with_context(data::subject_of(*spec) + " (" + spec->shown + ")");
    say(data::failure_line(error));
    return tl::unexpected<Problems>(Problems{std::move(error)});
  }
  say(data::outcome_line(*outcome));
  return 0;
}

}  // namespace muster::cli
