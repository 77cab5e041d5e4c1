#include "launcher/report/status_text.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"
#include "launcher/report/outcome_groups.h"
#include "launcher/report/status_line.h"

namespace muster::report {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;
using protocol::NodeStatus;
using protocol::RankStatus;
using protocol::RunStatus;
using Said = protocol::RunState;

constexpr auto kSilence = 5min;        // then a rank is worth a look
constexpr int kShownRanks = 32;        // of more, the remarkable ones come first
constexpr int kHeadLines = 8;          // around the table
constexpr std::size_t kLastLine = 80;  // columns, where there is no terminal

plan::WallTime wall_time(std::int64_t nanoseconds) {
  return plan::WallTime(
      std::chrono::duration_cast<plan::WallTime::duration>(std::chrono::nanoseconds(nanoseconds)));
}

std::chrono::nanoseconds since(std::int64_t then, std::int64_t now) {
  return std::chrono::nanoseconds(std::max<std::int64_t>(now - then, 0));
}

const char* phase_word(Said::Phase phase) {
  switch (phase) {
    case Said::PREPARING: return "preparing";
    case Said::STARTING: return "starting";
    case Said::RUNNING: return "running";
    case Said::STOPPING: return "stopping";
    case Said::DRAINING: return "draining";
    case Said::STORING: return "storing";
    case Said::ENDED: return "ended";
    default: return "unknown";
  }
}

const char* state_word(const RankStatus& rank) {
  switch (rank.state()) {
    case RankStatus::STARTING: return "starting";
    case RankStatus::RUNNING: return "running";
    default: return "ended";
  }
}

const RankStatus* rank_before(const LiveStatus& live, int rank) {
  if (!live.before || rank >= live.before->ranks_size()) return nullptr;
  return &live.before->ranks(rank);
}

std::int64_t sampled_at(const RunStatus& status, const RankStatus& rank) {
  return rank.sampled_at() != 0 ? rank.sampled_at() : status.sampled_at();
}

// Of one core; nullopt without two looks at the same process.
std::optional<double> cpu_percent(const LiveStatus& live, int rank) {
  const RankStatus& now = live.now.ranks(rank);
  const RankStatus* before = rank_before(live, rank);
  if (before == nullptr || before->pid() != now.pid() || now.process_count() == 0 ||
      before->process_count() == 0) {
    return std::nullopt;
  }
  // Each by the clock of the rank's node.
  const auto passed =
      static_cast<double>(sampled_at(live.now, now) - sampled_at(*live.before, *before)) / 1e9;
  if (passed <= 0) return std::nullopt;
  return std::max(100 * (now.cpu_seconds() - before->cpu_seconds()) / passed, 0.0);
}

std::chrono::nanoseconds silence(const RankStatus& rank, std::int64_t now) {
  return since(std::max(rank.last_output_at(), rank.started_at()), now);
}

int thread_count(const RankStatus& rank) {
  int count = 0;
  for (const auto& threads : rank.threads()) count += threads.count();
  return count;
}

// "12 (1 R)": sleeping ones are the rule and not named.
std::string threads_text(const RankStatus& rank) {
  const int all = thread_count(rank);
  if (all == 0) return "";
  std::vector<std::string> awake;
  for (const auto& threads : rank.threads()) {
    if (threads.state() != "S") {
      awake.push_back(std::to_string(threads.count()) + " " + threads.state());
    }
  }
  return std::to_string(all) + (awake.empty() ? "" : " (" + join(awake, ", ") + ")");
}

std::string ago_text(std::int64_t then, std::int64_t now) {
  if (then == 0) return "";
  const auto ago = std::chrono::floor<std::chrono::seconds>(since(then, now));
  return ago < 1s ? "now" : format_duration(ago) + " ago";
}

std::string state_text(const RankStatus& rank, const std::string& mark) {
  if (rank.state() == RankStatus::ENDED) return rank.ended_how();
  if (mark == "stopped") return "stopped (T)";
  if (mark == "stuck") return "stuck (D)";
  return state_word(rank);
}

std::string hostname_of(const RunStatus& status, int node_rank) {
  return node_rank >= 0 && node_rank < status.nodes_size() ? status.nodes(node_rank).hostname()
                                                           : "";
}

std::vector<std::string> cells(const LiveStatus& live, int index, const std::string& mark) {
  const RankStatus& rank = live.now.ranks(index);
  const auto percent = cpu_percent(live, index);
  const bool known = rank.process_count() > 0;
  std::string last_line;
  if (static_cast<std::size_t>(index) < live.last_lines.size()) {
    last_line = live.last_lines[static_cast<std::size_t>(index)];
  }
  std::vector<std::string> row = {mark.empty() ? "" : "!", std::to_string(rank.rank())};
  if (live.now.nodes_size() > 0) row.push_back(hostname_of(live.now, rank.node_rank()));
  std::vector<std::string> rest = {state_text(rank, mark),
                                   rank.pid() > 0 ? std::to_string(rank.pid()) : "",
                                   percent ? std::to_string(std::lround(*percent)) + "%" : "",
                                   known ? format_bytes(rank.rss_bytes()) : "",
                                   threads_text(rank),
                                   format_bytes(rank.stdout_bytes()),
                                   format_bytes(rank.stderr_bytes()),
                                   ago_text(rank.last_output_at(), live.now.sampled_at()),
                                   elided(last_line, kLastLine)};
  row.insert(row.end(), rest.begin(), rest.end());
  return row;
}

// How much a rank deserves a row of its own, where not all have one.
int interest(const RankStatus& rank, const std::string& mark) {
  const bool failed = rank.state() == RankStatus::ENDED && rank.ended_how() != "exited with 0";
  if (mark == "stopped" || mark == "stuck" || failed) return 3;
  if (!mark.empty()) return 2;
  return rank.rank() == 0 || rank.state() == RankStatus::STARTING ? 1 : 0;
}

// The ranks that get a row, in the order of the rows.
std::vector<int> shown_ranks(const LiveStatus& live, const std::vector<std::string>& all_marks,
                             int most) {
  std::vector<int> order(all_marks.size());
  std::iota(order.begin(), order.end(), 0);
  if (static_cast<int>(order.size()) <= most) return order;
  const auto of = [&](int rank) {
    return interest(live.now.ranks(rank), all_marks[static_cast<std::size_t>(rank)]);
  };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return of(a) > of(b); });
  order.resize(static_cast<std::size_t>(std::max(most - 1, 1)));
  return order;
}

// "and 32 more: 32 running, 0-98% CPU"
std::string others_text(const LiveStatus& live, const std::vector<int>& shown) {
  int running = 0;
  int starting = 0;
  int ended = 0;
  double least = INFINITY;
  double most = 0;
  const int all = live.now.ranks_size();
  for (int rank = 0; rank < all; ++rank) {
    if (std::find(shown.begin(), shown.end(), rank) != shown.end()) continue;
    const auto state = live.now.ranks(rank).state();
    ++(state == RankStatus::RUNNING ? running : state == RankStatus::ENDED ? ended : starting);
    if (const auto percent = cpu_percent(live, rank)) {
      least = std::min(least, *percent);
      most = std::max(most, *percent);
    }
  }
  std::vector<std::string> parts;
  if (running > 0) parts.push_back(std::to_string(running) + " running");
  if (starting > 0) parts.push_back(std::to_string(starting) + " starting");
  if (ended > 0) parts.push_back(std::to_string(ended) + " ended");
  if (least <= most) {
    parts.push_back(std::to_string(std::lround(least)) + "-" + std::to_string(std::lround(most)) +
                    "% CPU");
  }
  return "and " + std::to_string(all - static_cast<int>(shown.size())) +
         " more: " + join(parts, ", ") + " (--json shows all)";
}

// What ranks do with their cores and memory that was not planned.
std::string differences_text(const LiveStatus& live) {
  std::vector<plan::RankOutcome> ranks;
  for (const RankStatus& rank : live.now.ranks()) {
    plan::RankOutcome& outcome = ranks.emplace_back();
    outcome.rank = rank.rank();
    outcome.placement_differences = {rank.placement_differences().begin(),
                                     rank.placement_differences().end()};
  }
  std::string text;
  for (const std::string& each : placement_text(ranks)) text += "! " + each + "\n";
  return text.empty() ? text : "\n" + text;
}

std::string host_of(const RunView& run) {
  if (!run.hostnames.empty()) return run.hostnames.front();
  return run.launcher.hostname;
}

// "node-a", "node-a and 2 other nodes"
std::string hosts_of(const RunView& run) {
  const auto others = static_cast<std::int64_t>(run.hostnames.size()) - 1;
  return host_of(run) + (others > 0 ? " and " + counted(others, "other node") : "");
}

std::string head(const RunView& run, const std::string& what) {
  const std::string host = hosts_of(run);
  return "run " + run.run_id + (host.empty() ? "" : " on " + host) + ": " + what + "\n";
}

std::string command_lines(const RunView& run, const StatusContext& context) {
  std::string text;
  if (!run.argv.empty()) text += "  command    " + shell_quoted(run.argv) + "\n";
  text += "  directory  " + context.run_directory + "\n";
  if (!context.lease.empty()) text += "  has        " + context.lease + "\n";
  return text;
}

std::string nodes_text(const StatusContext& context, plan::WallTime now, bool is_over = false) {
  std::string text;
  for (const std::string& line : node_lines(context.nodes, now, is_over)) text += line + "\n";
  return text;
}

// Each line cut to the terminal's width.
std::string fitted(const std::string& text, int columns) {
  if (columns <= 0) return text;
  std::string lines;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    lines += elided(rest.substr(0, end), columns) + "\n";
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return lines;
}

std::string duration_text(const RunView& run) {
  const auto began = run.started_at ? run.started_at : run.created_at;
  if (!began || !run.ended_at) return "";
  return " after " + format_duration(*run.ended_at - *began);
}

// Bytes that are not UTF-8 become U+FFFD.
std::string dumped(const Json& json, bool one_line) {
  return without_raw_controls(
             json.dump(one_line ? -1 : 2, ' ', false, Json::error_handler_t::replace)) +
         "\n";
}

Json time_or_null(std::int64_t nanoseconds) {
  return nanoseconds == 0 ? Json(nullptr) : Json(format_utc(wall_time(nanoseconds)));
}

Json time_or_null(const std::optional<plan::WallTime>& time) {
  return time ? Json(format_utc(*time)) : Json(nullptr);
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json nodes_json(const std::vector<NodeView>& nodes) {
  Json all = Json::array();
  for (const NodeView& node : nodes) {
    Json json{{"node", node.node}, {"time", format_utc(node.time)}, {"values", node.values}};
    json["gpus"] = Json::array();
    for (const auto& [number, values] : node.gpus) {
      json["gpus"].push_back({{"gpu", number}, {"values", values}});
    }
    json["interfaces"] = Json::array();
    for (const auto& [name, values] : node.interfaces) {
      json["interfaces"].push_back({{"interface", name}, {"values", values}});
    }
    all.push_back(std::move(json));
  }
  return all;
}

Json run_json(const RunView& run, const StatusContext& context) {
  Json json;
  json["run_id"] = run.run_id;
  json["status"] = run.status;
  json["live"] = false;
  json["phase"] = nullptr;
  json["phase_since"] = nullptr;
  json["stopping"] = text_or_null(run.stopping);
  json["world_size"] = run.world_size;
  json["started"] = nullptr;
  json["running"] = nullptr;
  json["exit_code"] = run.exit_code ? Json(*run.exit_code) : Json(nullptr);
  json["origin"] = text_or_null(run.origin);
  json["started_at"] = time_or_null(run.started_at);
  json["ended_at"] = time_or_null(run.ended_at);
  json["hostname"] = host_of(run);
  json["launcher_pid"] = run.launcher.pid;
  json["argv"] = run.argv;
  json["run_directory"] = context.run_directory;
  json["lease"] = text_or_null(context.lease);
  json["nodes"] = nodes_json(context.nodes);
  json["cluster"] = Json::array();
  json["ranks"] = Json::array();
  return json;
}

Json live_rank_json(const LiveStatus& live, int index, const std::string& mark) {
  const RankStatus& rank = live.now.ranks(index);
  const bool known = rank.process_count() > 0;
  const auto percent = cpu_percent(live, index);
  Json json;
  json["rank"] = rank.rank();
  if (live.now.nodes_size() > 0) json["node_rank"] = rank.node_rank();
  json["state"] = state_word(rank);
  json["mark"] = text_or_null(mark);
  json["how"] = text_or_null(rank.ended_how());
  json["pid"] = rank.pid() > 0 ? Json(rank.pid()) : Json(nullptr);
  json["started_at"] = time_or_null(rank.started_at());
  json["ended_at"] = time_or_null(rank.ended_at());
  json["cpu_percent"] = percent ? Json(std::round(*percent * 10) / 10) : Json(nullptr);
  json["cpu_seconds"] = known ? Json(rank.cpu_seconds()) : Json(nullptr);
  json["memory_bytes"] = known ? Json(rank.rss_bytes()) : Json(nullptr);
  json["process_count"] = rank.process_count();
  json["process_state"] = text_or_null(rank.process_state());
  json["threads"] = Json::object();
  for (const auto& threads : rank.threads()) json["threads"][threads.state()] = threads.count();
  json["stdout_bytes"] = rank.stdout_bytes();
  json["stderr_bytes"] = rank.stderr_bytes();
  json["last_output_at"] = time_or_null(rank.last_output_at());
  json["placement_differences"] = rank.placement_differences();
  json["last_line"] = static_cast<std::size_t>(index) < live.last_lines.size()
                          ? text_or_null(live.last_lines[static_cast<std::size_t>(index)])
                          : Json(nullptr);
  return json;
}

std::string rank_range(int first, int count) {
  if (count == 0) return "no ranks";
  if (count == 1) return "rank " + std::to_string(first);
  return "ranks " + std::to_string(first) + "-" + std::to_string(first + count - 1);
}

// Of a run of several nodes: how many are here, and a line for each that is not.
std::string cluster_lines(const RunStatus& status) {
  if (status.nodes_size() == 0) return "";
  int here = 0;
  std::string others;
  for (const NodeStatus& node : status.nodes()) {
    const bool is_here = node.state() == NodeStatus::HERE;
    here += is_here ? 1 : 0;
    std::string said = elided(node.said(), 300);
    if (is_here && node.unanswered()) {
      said = elided(node.hostname(), 100) + " (node rank " + std::to_string(node.node_rank()) +
             ") does not say how its ranks fare; the numbers below are older";
    } else if (is_here) {
      continue;
    } else {
      said += " (" + rank_range(node.first_rank(), node.rank_count()) + "; told " +
              ago_text(node.since(), status.sampled_at()) + ")";
    }
    others += "! node       " + said + "\n";
  }
  return "  nodes      " + std::to_string(here) + " of " + std::to_string(status.nodes_size()) +
         " are here\n" + others;
}

const char* state_word(const NodeStatus& node) {
  switch (node.state()) {
    case NodeStatus::SUSPECT: return "suspect";
    case NodeStatus::LOST: return "lost";
    default: return "here";
  }
}

Json cluster_json(const RunStatus& status) {
  Json all = Json::array();
  for (const NodeStatus& node : status.nodes()) {
    Json json{{"node_rank", node.node_rank()},
              {"hostname", node.hostname()},
              {"state", state_word(node)},
              {"said", text_or_null(node.said())},
              {"since", time_or_null(node.since())}};
    json["first_rank"] = node.first_rank();
    json["rank_count"] = node.rank_count();
    const bool known = node.has_clock_ahead_ns();
    const auto seconds = [](std::int64_t ns) { return static_cast<double>(ns) / 1e9; };
    json["clock_ahead_seconds"] = known ? Json(seconds(node.clock_ahead_ns())) : Json(nullptr);
    json["clock_bound_seconds"] = known ? Json(seconds(node.clock_bound_ns())) : Json(nullptr);
    json["answers"] = !node.unanswered();
    all.push_back(std::move(json));
  }
  return all;
}

std::string collector_line(const protocol::RunState& state) {
  if (!state.has_collector()) return "";
  const protocol::CollectorState& collector = state.collector();
  std::string text = "  collector  " + elided(collector.address(), 200);
  if (!collector.connected()) {
    text += collector.answers() ? ", takes nothing now" : ", not connected";
  } else if (!collector.trouble().empty()) {
    text += ", takes less for now";
  }
  if (!collector.trouble().empty()) text += " (" + elided(collector.trouble(), 200) + ")";
  if (collector.unsent_bytes() == 0) {
    text += ", nothing is unsent";
  } else {
    text += ", " + format_bytes(collector.unsent_bytes()) + " unsent, " +
            format_duration(std::chrono::milliseconds(collector.behind_ms())) + " behind";
  }
  if (collector.dropped_bytes() > 0) {
    text += ", " + format_bytes(collector.dropped_bytes()) + " dropped for want of room";
  }
  return text + "\n";
}

Json collector_json(const protocol::RunState& state) {
  if (!state.has_collector()) return nullptr;
  const protocol::CollectorState& collector = state.collector();
  return {{"address", collector.address()},
          {"connected", collector.connected()},
          {"unsent_bytes", collector.unsent_bytes()},
          {"behind_ms", collector.behind_ms()},
          {"dropped_bytes", collector.dropped_bytes()},
          {"trouble", text_or_null(collector.trouble())}};
}

}  // namespace

std::string phase_text(const protocol::RunState& state, plan::WallTime now) {
  const std::string counts =
      std::to_string(state.running()) + "/" + std::to_string(state.world_size());
  std::string text = phase_word(state.phase());
  std::string what;
  switch (state.phase()) {
    case Said::PREPARING: what = ": source, packages and data are made ready"; break;
    case Said::STARTING:
      text += " " + std::to_string(state.started()) + "/" + std::to_string(state.world_size());
      break;
    case Said::RUNNING: text += " " + counts; break;
    case Said::STOPPING: text += " " + counts + " (" + elided(state.stopping(), 200) + ")"; break;
    case Said::DRAINING: what = ": every rank has ended, their last output is read"; break;
    case Said::STORING: what = ": every rank has ended, its outputs are stored"; break;
    default: break;
  }
  return text + " for " + format_duration(now - wall_time(state.phase_since())) + what;
}

std::string status_line_text(const protocol::RunState& state, std::chrono::nanoseconds elapsed) {
  std::string text =
      std::to_string(state.running()) + "/" + counted(state.world_size(), "rank") + " running";
  if (state.started() < state.world_size()) {
    text += ", " + std::to_string(state.world_size() - state.started()) + " starting";
  }
  if (!state.stopping().empty()) text += ", stopping (" + state.stopping() + ")";
  const auto& collector = state.collector();
  if (state.has_collector() && !collector.connected() && collector.unsent_bytes() > 0) {
    text += ", collector away (" + format_bytes(collector.unsent_bytes()) + " unsent)";
  }
  return text + ", " + format_duration(elapsed);
}

std::string outcome_sentence(const RunView& run) {
  const std::string verb = run.status == "cancelled" ? "was cancelled" : run.status;
  std::string text = verb + duration_text(run);
  if (run.first_failure) {
    const FailureView& first = *run.first_failure;
    text += ": " + (first.rank ? "rank " + std::to_string(*first.rank) + " " : "") +
            elided(first.description, 500);
  }
  if (run.exit_code && run.status != "succeeded") {
    text += " (exit code " + std::to_string(*run.exit_code) +
            (run.origin.empty() ? "" : ", origin: " + run.origin) + ")";
  }
  return text;
}

std::vector<std::string> marks(const LiveStatus& live) {
  std::vector<std::string> all(static_cast<std::size_t>(live.now.ranks_size()));
  int running = 0;
  int silent = 0;
  for (int index = 0; index < live.now.ranks_size(); ++index) {
    const RankStatus& rank = live.now.ranks(index);
    if (rank.state() != RankStatus::RUNNING) continue;
    ++running;
    std::string& mark = all[static_cast<std::size_t>(index)];
    const RankStatus* before = rank_before(live, index);
    if (rank.process_state() == "T" || rank.process_state() == "t") {
      mark = "stopped";
    } else if (rank.process_state() == "D" && before != nullptr && before->process_state() == "D") {
      mark = "stuck";  // in the kernel, for a moment at least
    } else if (silence(rank, live.now.sampled_at()) >= kSilence) {
      mark = "silent";
      ++silent;
    }
  }
  // Where rank 0 speaks for all, silence is the rule and says nothing.
  if (silent < running && 2 * silent > running) {
    for (std::string& mark : all) {
      if (mark == "silent") mark.clear();
    }
  }
  return all;
}

std::string status_text(const RunView& run, const LiveStatus& live, const StatusContext& context) {
  using Align = TextTable::Align;
  std::string text = head(run, phase_text(live.now.state(), wall_time(live.now.sampled_at()))) +
                     "  since      " + format_utc(wall_time(live.now.state().began_at())) +
                     ", launcher process " + std::to_string(run.launcher.pid) + "\n" +
                     command_lines(run, context) + collector_line(live.now.state());
  const std::string nodes =
      cluster_lines(live.now) + nodes_text(context, wall_time(live.now.sampled_at()));
  text += nodes + "\n";
  std::vector<TextTable::Column> columns = {{"", Align::kLeft}, {"rank", Align::kRight}};
  if (live.now.nodes_size() > 0) columns.push_back({"node", Align::kLeft});
  for (const TextTable::Column& each : {TextTable::Column{"state", Align::kLeft},
                                        {"pid", Align::kRight},
                                        {"CPU", Align::kRight},
                                        {"memory", Align::kRight},
                                        {"threads", Align::kLeft},
                                        {"stdout", Align::kRight},
                                        {"stderr", Align::kRight},
                                        {"last output", Align::kLeft},
                                        {"last line", Align::kLeft}}) {
    columns.push_back(each);
  }
  TextTable table(std::move(columns));
  const std::vector<std::string> all_marks = marks(live);
  int most = kShownRanks;
  const int head_lines =
      kHeadLines + static_cast<int>(std::count(nodes.begin(), nodes.end(), '\n'));
  if (context.rows > head_lines) most = std::min(most, context.rows - head_lines);
  const std::vector<int> shown = shown_ranks(live, all_marks, most);
  for (const int rank : shown) {
    table.add_row(cells(live, rank, all_marks[static_cast<std::size_t>(rank)]));
  }
  text += table.to_string();
  if (static_cast<int>(shown.size()) < live.now.ranks_size()) {
    text += others_text(live, shown) + "\n";
  }
  text += differences_text(live);
  return fitted(text, context.columns);
}

std::string status_json(const RunView& run, const LiveStatus& live, const StatusContext& context,
                        bool one_line) {
  const protocol::RunState& state = live.now.state();
  Json json = run_json(run, context);
  json["status"] = state.stopping().empty() ? "running" : "stopping";
  json["live"] = true;
  json["phase"] = phase_word(state.phase());
  json["phase_since"] = time_or_null(state.phase_since());
  json["stopping"] = text_or_null(state.stopping());
  json["world_size"] = state.world_size();
  json["started"] = state.started();
  json["running"] = state.running();
  if (state.has_collector()) json["collector"] = collector_json(state);
  json["cluster"] = cluster_json(live.now);
  const std::vector<std::string> all_marks = marks(live);
  for (int rank = 0; rank < live.now.ranks_size(); ++rank) {
    json["ranks"].push_back(live_rank_json(live, rank, all_marks[static_cast<std::size_t>(rank)]));
  }
  return dumped(json, one_line);
}

std::string status_text(const RunState& state, const StatusContext& context) {
  const RunView& run = state.view;
  std::string what;
  switch (state.phase) {
    case RunPhase::kEnded: what = outcome_sentence(run); break;
    case RunPhase::kLost:
      what = "lost: its launcher (process " + std::to_string(run.launcher.pid) +
             ") is gone and did not write how it ended; its ranks ended with it";
      break;
    case RunPhase::kRunning:
    case RunPhase::kUnknown: what = run.status + ", as run.json has it"; break;
  }
  std::string text = head(run, what);
  if (run.created_at) {
    text += "  started    " + format_utc(*run.created_at) +
            (run.ended_at ? ", ended " + format_utc(*run.ended_at) : "") + "\n";
  }
  text += command_lines(run, context);
  if (state.phase != RunPhase::kEnded) {
    text += nodes_text(context, std::chrono::system_clock::now(), state.phase == RunPhase::kLost);
  }
  return fitted(text, context.columns);
}

std::string status_json(const RunState& state, const StatusContext& context, bool one_line) {
  Json json = run_json(state.view, context);
  json["status"] = state.word();
  if (!state.view.attempts.empty()) {
    for (const RankView& rank : state.view.attempts.back().ranks) {
      json["ranks"].push_back({{"rank", rank.rank},
                               {"state", "ended"},
                               {"how", rank.how},
                               {"exit_code", rank.exit_code ? Json(*rank.exit_code) : Json()},
                               {"signal", text_or_null(rank.signal)},
                               {"pid", rank.pid > 0 ? Json(rank.pid) : Json(nullptr)},
                               {"started_at", time_or_null(rank.started_at)},
                               {"ended_at", time_or_null(rank.ended_at)}});
    }
  }
  return dumped(json, one_line);
}

}  // namespace muster::report
