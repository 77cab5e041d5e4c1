// `muster relay`: a collector and nothing else.  It stores runs as DIR/<run id>/.

#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <sys/resource.h>
#include <utility>

#include "base/event_loop.h"
#include "base/signals.h"
#include "collector/replication/run_replica.h"
#include "collector/replication/run_token.h"
#include "collector/replication/server.h"
#include "collector/replication/upstream_relay.h"
#include "launcher/cli/commands.h"

namespace muster::cli {
namespace {

tl::unexpected<Problems> problem(Error error) {
  return tl::unexpected<Problems>(Problems{std::move(error)});
}

void say(const std::string& line) {
  std::fprintf(stderr, "muster: %s\n", line.c_str());
}

// Every run has files open in it, and every sender a socket.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

Result<replication::ServerSettings> settings_of(const CommandLine& line) {
  replication::ServerSettings settings;
  MUSTER_TRY_ASSIGN(settings.listen, replication::parse_address(*line.text("listen")));
  settings.insecure = line.has("insecure");
  if (const auto source = line.text("token-file")) {
    MUSTER_TRY_ASSIGN(auto keys, replication::read_token(*source));
    settings.keys = std::make_shared<const replication::TokenKeys>(std::move(keys));
  }
  settings.log = say;
  return settings;
}

}  // namespace

CommandResult relay_command(const CommandLine& line) {
  const auto directory = line.text("store");
  if (!line.has("listen") || !directory) {
    return problem(Error{ErrorCode::kUsage, "muster relay takes --listen ADDR and --store DIR",
                         "muster relay --listen tls:0.0.0.0:7700 --store runs --token-file FILE",
                         std::nullopt});
  }
  auto settings = settings_of(line);
  if (!settings) return problem(std::move(settings).error());
  std::optional<replication::ClientSettings> above;  // where it goes on to, with the same token
  if (const auto address = line.text("upstream")) {
    auto parsed = replication::parse_address(*address);
    if (!parsed) return problem(std::move(parsed).error());
    if (auto usable = replication::check_settings(*parsed, settings->keys, settings->insecure);
        !usable) {
      return problem(std::move(usable).error());
    }
    above = {.collector = std::move(*parsed),
             .keys = settings->keys,
             .insecure = settings->insecure,
             .writer = {}};
  }
  const auto signals = SignalFd::block(signal_set({SIGTERM, SIGINT, SIGHUP}));
  if (!signals) return problem(signals.error());
  raise_descriptor_limit();

  auto store = replication::RunReplica::open(*directory);
  if (!store) return problem(std::move(store).error());
  replication::RunReplica& replica = **store;
  EventLoop loop;
  auto server = replication::CollectorServer::listen(loop, replica, std::move(*settings));
  if (!server) return problem(std::move(server).error());

  std::optional<replication::UpstreamRelay> upstream;
  if (above) upstream.emplace(loop, *directory, std::move(*above), say);
  const auto synced = loop.on_readable(replica.finished_fd(), [&] {
    replica.run_finished();
    (*server)->store_changed();
  });
  bool ending = false;
  const auto asked_to_end = loop.on_readable(signals->get(), [&] {
    while (signals->read()) {
      if (std::exchange(ending, true)) loop.stop();  // asked twice
    }
    // Senders learn that they may come again, and how much of theirs is here.
    (*server)->shut_down([&] { loop.stop(); });
  });
  say("collector listens on " + (*server)->address().to_string() + ", stores in " + *directory);
  loop.run();
  replica.settle();
  return 0;
}

}  // namespace muster::cli
