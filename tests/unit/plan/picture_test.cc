#include "launcher/plan/picture.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/picture_colours.h"
#include "launcher/plan/picture_svg.h"
#include "launcher/plan/picture_words.h"
#include "tests/support/machines.h"

namespace muster::plan {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using topology::kUnknown;
using topology::NodeInventory;

// Ranks with the CPUs of a list, and GPUs in equal blocks.
LaunchPlan plan_of(const NodeInventory& node, const std::vector<CpuSet>& cpus) {
  LaunchPlan plan;
  plan.world_size = static_cast<int>(cpus.size());
  plan.nodes.push_back({0, node.hostname});
  plan.nodes.front().layout = "strict";
  plan.nodes.front().score.total = 95;
  plan.reasons.push_back({"placement on " + node.hostname, "strict", "best of three"});
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    RankPlacement& rank = plan.ranks.emplace_back();
    rank.rank = rank.local_rank = static_cast<int>(i);
    rank.cpuset = cpus[i];
    const std::size_t each = std::max<std::size_t>(1, node.gpus.size() / cpus.size());
    for (std::size_t gpu = i * each; gpu < (i + 1) * each && gpu < node.gpus.size(); ++gpu) {
      rank.gpus.push_back(node.gpus[gpu]);
    }
    if (i < node.nics.size()) rank.nics = {node.nics[i].name};
  }
  return plan;
}

std::vector<CpuSet> parsed(const std::vector<std::string>& lists) {
  std::vector<CpuSet> sets;
  for (const std::string& list : lists) sets.push_back(*CpuSet::parse(list));
  return sets;
}

bool is_within(const Rect& inner, const Rect& outer) {
  constexpr double kRounding = 0.11;
  return inner.x >= outer.x - kRounding && inner.y >= outer.y - kRounding &&
         inner.right() <= outer.right() + kRounding && inner.bottom() <= outer.bottom() + kRounding;
}

bool overlap(const Rect& a, const Rect& b) {
  constexpr double kRounding = 0.05;
  return a.x < b.right() - kRounding && b.x < a.right() - kRounding &&
         a.y < b.bottom() - kRounding && b.y < a.bottom() - kRounding;
}

Rect around(const Point& a, const Point& b) {
  return {std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x), std::abs(a.y - b.y)};
}

std::string shown(const Rect& rect) {
  return std::to_string(rect.x) + "," + std::to_string(rect.y) + " " + std::to_string(rect.width) +
         "×" + std::to_string(rect.height);
}

// What makes a picture readable, whatever is on it.
void expect_readable(const Picture& picture) {
  const auto& boxes = picture.boxes;
  ASSERT_FALSE(boxes.empty());
  for (std::size_t i = 1; i < boxes.size(); ++i) {
    ASSERT_GE(boxes[i].parent, 0);
    ASSERT_LT(boxes[i].parent, static_cast<int>(i));
    const Rect& parent = boxes[static_cast<std::size_t>(boxes[i].parent)].rect;
    EXPECT_TRUE(is_within(boxes[i].rect, parent))
        << shown(boxes[i].rect) << " in " << shown(parent);
    for (std::size_t j = 1; j < i; ++j) {
      if (boxes[j].parent != boxes[i].parent) continue;
      EXPECT_FALSE(overlap(boxes[i].rect, boxes[j].rect))
          << shown(boxes[i].rect) << " and " << shown(boxes[j].rect);
    }
  }
  for (std::size_t i = 0; i < picture.texts.size(); ++i) {
    const Text& text = picture.texts[i];
    EXPECT_GE(text.size, 10) << text.text;
    EXPECT_GE(text.bounds.width + 0.01, width_of(text.text, text.size, text.bold)) << text.text;
    const Rect& parent = boxes[static_cast<std::size_t>(text.parent)].rect;
    EXPECT_TRUE(is_within(text.bounds, parent))
        << text.text << ": " << shown(text.bounds) << " in " << shown(parent);
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_FALSE(overlap(text.bounds, picture.texts[j].bounds))
          << text.text << " and " << picture.texts[j].text;
    }
    for (std::size_t j = 1; j < boxes.size(); ++j) {
      // Nothing that was drawn in the same box covers it.
      if (boxes[j].parent != text.parent) continue;
      EXPECT_FALSE(overlap(text.bounds, boxes[j].rect)) << text.text;
    }
  }
  for (const Tie& tie : picture.ties) {
    ASSERT_GE(tie.points.size(), 2U);
    for (std::size_t k = 1; k < tie.points.size(); ++k) {
      const Rect line = around(tie.points[k - 1], tie.points[k]);
      EXPECT_TRUE(line.width < 0.01 || line.height < 0.01) << "ties run at right angles";
      EXPECT_TRUE(is_within(line, boxes.front().rect));
      const Rect thick = {line.x - 1, line.y - 1, line.width + 2, line.height + 2};
      for (const Text& text : picture.texts) {
        EXPECT_FALSE(overlap(thick, text.bounds)) << "a tie crosses " << text.text;
      }
    }
  }
}

// For people who want to look: MUSTER_PICTURES_DIR=DIR picture_test.
void keep(const std::string& name, const Picture& picture) {
  const char* directory = std::getenv("MUSTER_PICTURES_DIR");
  if (directory == nullptr) return;
  std::ofstream(std::string(directory) + "/" + name + ".svg")
      << picture_svg(picture, Theme::kLight);
}

class PictureOf : public ::testing::TestWithParam<std::string> {};

TEST_P(PictureOf, EveryPlacementIsReadable) {
  const DescribedMachine machine = described(GetParam());
  const Picture alone = picture_of(machine.inventory);
  expect_readable(alone);
  keep(machine.name, alone);
  for (const ExpectedPlacement& row : machine.expected) {
    SCOPED_TRACE(std::to_string(row.processes) + " processes");
    const Picture picture =
        picture_of(plan_of(machine.inventory, parsed(row.cpus)), {machine.inventory});
    expect_readable(picture);
    keep(machine.name + "-" + std::to_string(row.processes), picture);
  }
  // One core each, wherever it is: most GPUs are remote.
  std::vector<CpuSet> single;
  for (const auto& core : machine.inventory.cores) {
    if (single.size() < 16) single.push_back(core.pus);
  }
  const Picture picture = picture_of(plan_of(machine.inventory, single), {machine.inventory});
  expect_readable(picture);
  keep(machine.name + "-single", picture);
}

std::string test_name(const ::testing::TestParamInfo<std::string>& machine) {
  std::string name = machine.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Every, PictureOf, ::testing::ValuesIn(described_machines()), test_name);

std::size_t count(const Picture& picture, BoxKind kind) {
  return static_cast<std::size_t>(std::count_if(picture.boxes.begin(), picture.boxes.end(),
                                                [&](const Box& box) { return box.kind == kind; }));
}

std::string all_text(const Picture& picture) {
  std::string all;
  for (const Text& text : picture.texts) all += text.text + "\n";
  return all;
}

NodeInventory two_numa_nodes() {
  NodeInventory node;
  node.hostname = "two";
  node.package_count = 1;
  for (int i = 0; i < 8; ++i) {
    node.cores.push_back({i, 0, i / 4, 0, {i, i + 8}});
    node.allowed = node.allowed.united({i, i + 8});
  }
  node.present = node.allowed.united({16, 17, 18, 19});
  node.numa_nodes = {{0, 1ULL << 30, {0, 1, 2, 3, 8, 9, 10, 11}, {0, 1, 2, 3, 8, 9, 10, 11}, 0},
                     {1, 1ULL << 30, {4, 5, 6, 7, 12, 13, 14, 15}, {}, 0}};
  node.numa_nodes[1].present_cpus = node.numa_nodes[1].cpus.united({16, 17, 18, 19});
  node.gpus = {{0, "GPU-a", "0000:07:00.0", 0, "A100"}, {1, "GPU-b", "0000:08:00.0", 1, "A100"}};
  return node;
}

TEST(Picture, TellsRemoteFromNearAndUnknownTies) {
  const NodeInventory node = two_numa_nodes();
  const auto kinds = [](const Picture& picture) {
    // The last ones explain the lines.
    std::vector<TieKind> ties;
    for (const Tie& tie : picture.ties) ties.push_back(tie.kind);
    return ties;
  };
  const std::vector<CpuSet> near = {{0, 8}, {4, 12}};
  EXPECT_THAT(kinds(picture_of(plan_of(node, near), {node})),
              Not(testing::Contains(TieKind::kRemote)));
  const std::vector<CpuSet> swapped = {{4, 12}, {0, 8}};
  const Picture far = picture_of(plan_of(node, swapped), {node});
  expect_readable(far);
  EXPECT_EQ(kinds(far), std::vector<TieKind>(3, TieKind::kRemote));
  EXPECT_EQ(count(far, BoxKind::kRemoteRank), 2U);
  EXPECT_THAT(picture_svg(far),
              HasSubstr(R"(class="remote" stroke-width="2.2" stroke-dasharray="7 4")"));
  // Its second part is on a NUMA node where none of its GPUs is.
  const Picture spilled = picture_of(plan_of(node, {{0, 8, 4, 12}, {5, 13}}), {node});
  EXPECT_EQ(kinds(spilled), (std::vector<TieKind>{TieKind::kNear, TieKind::kNear, TieKind::kRemote,
                                                  TieKind::kNear, TieKind::kRemote}));
  NodeInventory flat = node;
  for (auto& gpu : flat.gpus) gpu.numa_node = gpu.package = kUnknown;
  const Picture unknown = picture_of(plan_of(flat, near), {flat});
  expect_readable(unknown);
  EXPECT_EQ(kinds(unknown), std::vector<TieKind>(3, TieKind::kUnknown));
  EXPECT_THAT(all_text(unknown), HasSubstr("where these are, nobody could tell"));
}

TEST(Picture, TellsUnusedForbiddenAndSharedCores) {
  const NodeInventory node = two_numa_nodes();
  const Picture picture = picture_of(plan_of(node, {{0, 8, 1, 9}, {1, 9, 4, 12}}), {node});
  expect_readable(picture);
  // The legend has one of each.
  EXPECT_EQ(count(picture, BoxKind::kCore), 2U + 2U);  // twice in the legend: its threads, too
  EXPECT_EQ(count(picture, BoxKind::kSharedCore), 1U + 1U);
  EXPECT_EQ(count(picture, BoxKind::kUnusedCore), 5U + 1U);
  EXPECT_EQ(count(picture, BoxKind::kForbiddenCore), 2U + 1U);
}

TEST(Picture, RanksThatAreNotBoundShareAllCores) {
  const NodeInventory node = two_numa_nodes();
  LaunchPlan plan = plan_of(node, {{0, 8}, {4, 12}});
  for (RankPlacement& rank : plan.ranks) rank.bound = false;
  const Picture picture = picture_of(plan, {node});
  expect_readable(picture);
  EXPECT_EQ(count(picture, BoxKind::kUnusedCore), 0U);
  EXPECT_THAT(all_text(picture), HasSubstr("core that several ranks have"));
  EXPECT_THAT(all_text(picture), Not(HasSubstr("core without a rank")));
}

TEST(Picture, ANicHasTheNumbersAndColoursOfAllItsRanks) {
  NodeInventory node = two_numa_nodes();
  node.nics.clear();
  node.nics.push_back({.name = "mlx5_0", .bus_id = "0000:08:00.0", .numa_node = 0, .package = 0});
  LaunchPlan plan = plan_of(node, {{0, 8}, {1, 9}, {4, 12}, {5, 13}});
  for (RankPlacement& rank : plan.ranks) rank.nics = {"mlx5_0"};
  const Picture picture = picture_of(plan, {node});
  expect_readable(picture);
  const auto nic = std::find_if(picture.boxes.begin(), picture.boxes.end(),
                                [](const Box& box) { return box.kind == BoxKind::kNic; });
  ASSERT_NE(nic, picture.boxes.end());
  EXPECT_EQ(nic->bars, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_THAT(picture_svg(picture, Theme::kLight),
              HasSubstr(R"(height="11.2" rx="1" class="r3 edge")"));
}

TEST(Picture, DrawsNodesOfOneKindOnceWithTheirCount) {
  const NodeInventory node = two_numa_nodes();
  LaunchPlan plan = plan_of(node, {{0, 8}, {4, 12}});
  std::vector<NodeInventory> nodes = {node};
  const auto ranks = plan.ranks;
  for (int i = 1; i < 4; ++i) {
    nodes.push_back(node);
    nodes.back().hostname = "two-" + std::to_string(i);
    plan.nodes.push_back(plan.nodes.front());
    plan.nodes.back().node_rank = i;
    plan.nodes.back().hostname = nodes.back().hostname;
    for (RankPlacement rank : ranks) {
      rank.rank += 2 * i;
      rank.node_rank = i;
      plan.ranks.push_back(rank);
    }
  }
  plan.world_size = 8;
  const Picture alike = picture_of(plan, nodes);
  expect_readable(alike);
  EXPECT_EQ(count(alike, BoxKind::kPackage), 1U);
  EXPECT_THAT(all_text(alike), HasSubstr("4 × two\n"));
  EXPECT_THAT(all_text(alike), HasSubstr("two-1 (ranks 2-3)"));
  nodes[2].gpus[0].numa_node = 1;
  const Picture other = picture_of(plan, nodes);
  expect_readable(other);
  EXPECT_EQ(count(other, BoxKind::kPackage), 2U);
}

TEST(Picture, HoldsTheLargestNodes) {
  NodeInventory node;
  node.hostname = "big <&\"\x01 host\xff" + std::string(300, 'x');
  node.package_count = 2;
  for (int i = 0; i < 256; ++i) {
    node.cores.push_back({i, i / 128, i / 128, 0, {i}});
    node.allowed.insert(i);
  }
  node.present = node.allowed;
  node.numa_nodes = {{0, 1ULL << 40, {0}, {0}, 0}, {1, 1ULL << 40, {128}, {128}, 1}};
  for (int i = 0; i < 16; ++i) {
    node.gpus.push_back({i, "GPU-" + std::to_string(i), "000" + std::to_string(i % 10) + ":00:00.0",
                         i % 3 == 0 ? kUnknown : i / 8, std::string(80, 'M')});
    if (i % 3 == 0 && i < 12) node.gpus.back().package = i / 8;
  }
  for (int ranks : {1, 2, 16, 17, 64, 256}) {
    SCOPED_TRACE(ranks);
    std::vector<CpuSet> cpus(static_cast<std::size_t>(ranks));
    for (int i = 0; i < 256; ++i) cpus[static_cast<std::size_t>(i * ranks / 256)].insert(i);
    LaunchPlan plan = plan_of(node, cpus);
    plan.reasons.front().why = std::string(3000, 'y') + " and then some";
    const Picture picture = picture_of(plan, {node});
    expect_readable(picture);
    keep("largest-" + std::to_string(ranks), picture);
    for (RankPlacement& rank : plan.ranks) rank.bound = false;
    expect_readable(picture_of(plan, {node}));
  }
  const std::string svg = picture_svg(picture_of(node));
  EXPECT_THAT(svg, HasSubstr("<title>big &lt;&amp;&quot;? host?xxx"));
  EXPECT_THAT(svg, Not(HasSubstr("\xff")));
}

TEST(Picture, FollowsTheReadersThemeUnlessToldWhich) {
  const Picture picture = picture_of(two_numa_nodes());
  EXPECT_THAT(picture_svg(picture), HasSubstr("@media (prefers-color-scheme: dark)"));
  EXPECT_THAT(picture_svg(picture, Theme::kLight), Not(HasSubstr("@media")));
  EXPECT_THAT(picture_svg(picture, Theme::kDark), Not(HasSubstr("#ffffff }\n  .package")));
}

TEST(PictureWords, CutsWhereACharacterEnds) {
  EXPECT_EQ(fitted("abc", 100, 10, false), "abc");
  const std::string cut = fitted("äöüäöüäöü", 40, 10, false);
  EXPECT_EQ(cut, "äö…");
  EXPECT_EQ(fitted("abc", 3, 10, false), "");
  EXPECT_EQ(drawable("a\xc3\xa4\xff\n\xed\xa0\x80"), "aä??\?\?\?");
  EXPECT_EQ(wrapped("one two three", 50, 10, 2), (std::vector<std::string>{"one two", "three"}));
}

// CIEDE2000, for colours as people with each kind of dichromacy see them (Machado et al., 2009).
using Triple = std::array<double, 3>;

Triple linear(std::string_view colour) {
  Triple rgb{};
  for (std::size_t i = 0; i < 3; ++i) {
    const double value = std::stoi(std::string(colour.substr(1 + 2 * i, 2)), nullptr, 16) / 255.0;
    rgb[i] = value <= 0.04045 ? value / 12.92 : std::pow((value + 0.055) / 1.055, 2.4);
  }
  return rgb;
}

Triple times(const std::array<Triple, 3>& matrix, const Triple& v) {
  Triple product{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) product[i] += matrix[i][j] * v[j];
  }
  return product;
}

Triple to_lab(Triple rgb) {
  for (double& value : rgb) value = std::clamp(value, 0.0, 1.0);
  Triple xyz = times({{{0.4124564, 0.3575761, 0.1804375},
                       {0.2126729, 0.7151522, 0.0721750},
                       {0.0193339, 0.1191920, 0.9503041}}},
                     rgb);
  const Triple white = {0.95047, 1, 1.08883};
  for (std::size_t i = 0; i < 3; ++i) {
    const double t = xyz[i] / white[i];
    xyz[i] = t > 216.0 / 24389 ? std::cbrt(t) : (24389.0 / 27 * t + 16) / 116;
  }
  return {116 * xyz[1] - 16, 500 * (xyz[0] - xyz[1]), 200 * (xyz[1] - xyz[2])};
}

double ciede2000(const Triple& a, const Triple& b) {
  constexpr double kDegree = M_PI / 180;
  const double mean_c = (std::hypot(a[1], a[2]) + std::hypot(b[1], b[2])) / 2;
  const double g =
      0.5 * (1 - std::sqrt(std::pow(mean_c, 7) / (std::pow(mean_c, 7) + std::pow(25.0, 7))));
  const double a1 = (1 + g) * a[1];
  const double a2 = (1 + g) * b[1];
  const double c1 = std::hypot(a1, a[2]);
  const double c2 = std::hypot(a2, b[2]);
  const auto hue = [&](double y, double x) {
    const double angle = x == 0 && y == 0 ? 0 : std::atan2(y, x) / kDegree;
    return angle < 0 ? angle + 360 : angle;
  };
  const double h1 = hue(a[2], a1);
  const double h2 = hue(b[2], a2);
  double dh = c1 * c2 == 0 ? 0 : h2 - h1;
  if (dh > 180) dh -= 360;
  if (dh < -180) dh += 360;
  const double big_dh = 2 * std::sqrt(c1 * c2) * std::sin(dh / 2 * kDegree);
  const double l = (a[0] + b[0]) / 2;
  const double c = (c1 + c2) / 2;
  double h = h1 + h2;
  if (c1 * c2 != 0) {
    if (std::abs(h1 - h2) <= 180) {
      h /= 2;
    } else {
      h = h < 360 ? (h + 360) / 2 : (h - 360) / 2;
    }
  }
  const double t = 1 - 0.17 * std::cos((h - 30) * kDegree) + 0.24 * std::cos(2 * h * kDegree) +
                   0.32 * std::cos((3 * h + 6) * kDegree) - 0.2 * std::cos((4 * h - 63) * kDegree);
  const double rc = 2 * std::sqrt(std::pow(c, 7) / (std::pow(c, 7) + std::pow(25.0, 7)));
  const double rt = -std::sin(60 * std::exp(-std::pow((h - 275) / 25, 2)) * kDegree) * rc;
  const double dl =
      (b[0] - a[0]) / (1 + 0.015 * std::pow(l - 50, 2) / std::sqrt(20 + std::pow(l - 50, 2)));
  const double dc = (c2 - c1) / (1 + 0.045 * c);
  const double dhh = big_dh / (1 + 0.015 * c * t);
  return std::sqrt(dl * dl + dc * dc + dhh * dhh + rt * dc * dhh);
}

TEST(PictureColours, DifferForEveryReader) {
  // A published pair, to trust the formula: Sharma, Wu and Dalal, 2005, line 1.
  EXPECT_NEAR(ciede2000({50, 2.6772, -79.7751}, {50, 0, -82.7485}), 2.0425, 1e-4);
  const std::vector<std::pair<const char*, std::array<Triple, 3>>> eyes = {
      {"all cones", {{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}}},
      {"protanopia",
       {{{0.152286, 1.052583, -0.204868},
         {0.114503, 0.786281, 0.099216},
         {-0.003882, -0.048116, 1.051998}}}},
      {"deuteranopia",
       {{{0.367322, 0.860646, -0.227968},
         {0.280085, 0.672501, 0.047413},
         {-0.011820, 0.042940, 0.968881}}}},
      {"tritanopia",
       {{{1.255528, -0.076749, -0.178779},
         {-0.078411, 0.930809, 0.147602},
         {0.004733, 0.691367, 0.303900}}}}};
  // Beside the ranks: cores without one in a light and a dark picture, and the red of remote ties.
  std::vector<std::string_view> colours(rank_colours().begin(), rank_colours().end());
  for (const std::string_view other : {"#ececec", "#3a3e44", "#e0001b"}) colours.push_back(other);
  for (const auto& [name, matrix] : eyes) {
    double least = 1000;
    for (std::size_t i = 0; i < colours.size(); ++i) {
      for (std::size_t j = 0; j < std::min<std::size_t>(i, kRankColourCount); ++j) {
        least = std::min(least, ciede2000(to_lab(times(matrix, linear(colours[i]))),
                                          to_lab(times(matrix, linear(colours[j])))));
      }
    }
    EXPECT_GT(least, 11) << name;  // 2.3 is just noticeable
  }
}

TEST(PictureColours, HaveTextThatCanBeReadOnThem) {
  for (int i = 0; i < kRankColourCount; ++i) {
    const Triple rgb = linear(rank_colours()[static_cast<std::size_t>(i)]);
    const double luminance = 0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2];
    const double contrast =
        wants_dark_text(i) ? (luminance + 0.05) / 0.05 : 1.05 / (luminance + 0.05);
    EXPECT_GT(contrast, 4.5) << rank_colours()[static_cast<std::size_t>(i)];  // WCAG AA
  }
}

}  // namespace
}  // namespace muster::plan
