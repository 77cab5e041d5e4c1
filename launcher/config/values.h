// The text of one value → its type.  Pure; knows neither keys nor places.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

#include "launcher/config/run_config.h"

namespace muster::config {

struct Unfit {
  std::string why;        // "\"four\" is not a whole number"
  std::string hint = {};  // better than the key's own, if any
};

template <typename T>
using Parsed = tl::expected<T, Unfit>;

inline constexpr int kMostFiles = 1'000'000'000;
inline constexpr int kMostCount = 100'000;  // processes, cores, nodes: beyond it, a typing error

inline constexpr std::array<std::pair<std::string_view, Backend>, 3> kBackendNames{
    {{"mpi", Backend::kMpi}, {"direct", Backend::kDirect}, {"none", Backend::kNone}}};
inline constexpr std::array<std::pair<std::string_view, Oversubscribe>, 2> kOversubscribeNames{
    {{"allow", Oversubscribe::kAllow}, {"never", Oversubscribe::kNever}}};
inline constexpr std::array<std::pair<std::string_view, GpuAssignment>, 3> kGpuAssignmentNames{
    {{"block", GpuAssignment::kBlock},
     {"ordinal", GpuAssignment::kOrdinal},
     {"spread", GpuAssignment::kSpread}}};
inline constexpr std::array<std::pair<std::string_view, GpuVisibility>, 2> kGpuVisibilityNames{
    {{"all", GpuVisibility::kAll}, {"own", GpuVisibility::kOwn}}};
inline constexpr std::array<std::pair<std::string_view, CoreLayout>, 4> kLayoutNames{
    {{"best", CoreLayout::kBest},
     {"strict", CoreLayout::kStrict},
     {"balanced", CoreLayout::kBalanced},
     {"spill", CoreLayout::kSpill}}};
inline constexpr std::array<std::pair<std::string_view, MemoryPolicy>, 4> kMemoryPolicyNames{
    {{"preferred", MemoryPolicy::kPreferred},
     {"strict", MemoryPolicy::kStrict},
     {"interleave", MemoryPolicy::kInterleave},
     {"none", MemoryPolicy::kNone}}};
inline constexpr std::array<std::pair<std::string_view, Binder>, 3> kBinderNames{
    {{"agent", Binder::kAgent}, {"rankfile", Binder::kRankfile}, {"none", Binder::kNone}}};
inline constexpr std::array<std::pair<std::string_view, NicVisibility>, 2> kNicVisibilityNames{
    {{"all", NicVisibility::kAll}, {"own", NicVisibility::kOwn}}};
inline constexpr std::array<std::pair<std::string_view, ThreadVariables>, 2> kThreadVariablesNames{
    {{"omp", ThreadVariables::kOmp}, {"all", ThreadVariables::kAll}}};
inline constexpr std::array<std::pair<std::string_view, OmpBinding>, 3> kOmpBindingNames{
    {{"none", OmpBinding::kNone}, {"close", OmpBinding::kClose}, {"spread", OmpBinding::kSpread}}};
inline constexpr std::array<std::pair<std::string_view, WhenFull>, 2> kWhenFullNames{
    {{"drop_oldest", WhenFull::kDropOldest}, {"block", WhenFull::kBlock}}};
inline constexpr std::array<std::pair<std::string_view, DataMode>, 4> kDataModeNames{
    {{"mount", DataMode::kMount},
     {"download", DataMode::kDownload},
     {"upload", DataMode::kUpload},
     {"direct", DataMode::kDirect}}};
inline constexpr std::array<std::pair<std::string_view, DataType>, 2> kDataTypeNames{
    {{"folder", DataType::kFolder}, {"file", DataType::kFile}}};
inline constexpr std::array<std::pair<std::string_view, CondaBy>, 2> kCondaByNames{
    {{"conda", CondaBy::kConda}, {"pip", CondaBy::kPip}}};
inline constexpr std::array<std::pair<std::string_view, MpiIdentity>, 2> kMpiIdentityNames{
    {{"mpirun", MpiIdentity::kMpirun}, {"emulate", MpiIdentity::kEmulate}}};

Parsed<std::string> parse_text(std::string_view text);  // anything but nothing
Parsed<int> parse_whole(std::string_view text, int least, int most);
Parsed<int> parse_count(std::string_view text, int least);  // up to kMostCount
Parsed<std::optional<int>> parse_count_or_auto(std::string_view text, int least);
Parsed<Milliseconds> parse_duration(std::string_view text);  // 500ms, 30s, 2m, 1h; 30 is 30 s
Parsed<Milliseconds> parse_positive_duration(std::string_view text);
Parsed<std::optional<std::chrono::seconds>> parse_run_duration(std::string_view text);  // seconds
Parsed<std::optional<Milliseconds>> parse_budget(std::string_view text);  // a duration, or none
Parsed<std::optional<Milliseconds>> parse_interval(
    std::string_view text);                                    // 100ms or more, or none
Parsed<std::string> parse_size(std::string_view text);         // 2g, 512m; the text itself
Parsed<std::int64_t> parse_byte_count(std::string_view text);  // 300m in bytes, at least 1
Parsed<std::optional<std::int64_t>> parse_bound(std::string_view text);  // a size, or none
Parsed<WhenFull> parse_when_full(std::string_view text);
Parsed<bool> parse_bool(std::string_view text);  // true, false, yes, no
Parsed<Backend> parse_backend(std::string_view text);
Parsed<Oversubscribe> parse_oversubscribe(std::string_view text);
Parsed<GpuAssignment> parse_gpu_assignment(std::string_view text);
Parsed<GpuVisibility> parse_gpu_visibility(std::string_view text);
Parsed<CoreLayout> parse_layout(std::string_view text);
Parsed<MemoryPolicy> parse_memory_policy(std::string_view text);
Parsed<Binder> parse_binder(std::string_view text);
Parsed<NicVisibility> parse_nic_visibility(std::string_view text);
Parsed<ThreadCount> parse_thread_count(std::string_view text);  // auto, keep, or a number
Parsed<ThreadVariables> parse_thread_variables(std::string_view text);
Parsed<OmpBinding> parse_omp_binding(std::string_view text);
Parsed<DataMode> parse_data_mode(std::string_view text);
Parsed<DataType> parse_data_type(std::string_view text);
Parsed<CondaBy> parse_conda_by(std::string_view text);
Parsed<MpiIdentity> parse_mpi_identity(std::string_view text);

// Why an environment variable of this name cannot be in a config; "" when it can.
Unfit check_variable_name(std::string_view name);

// Why nothing in inputs or outputs can have this name; "" when it can.
Unfit check_data_name(std::string_view name);

std::string duration_text(Milliseconds duration);  // "600s", "500ms"; what parse_duration reads

}  // namespace muster::config
