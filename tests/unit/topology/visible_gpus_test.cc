#include "launcher/topology/visible_gpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/topology/gpu_answer.h"

namespace muster::topology {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using Environment = std::map<std::string, std::string>;

Gpu gpu(const std::string& uuid, const std::string& model = "NVIDIA A100") {
  Gpu one;
  one.uuid = uuid;
  one.model = model;
  one.vendor = kNvidiaVendor;
  return one;
}

Gpu instance(const std::string& uuid, const std::string& parent, int gpu_instance,
             int compute_instance) {
  Gpu one = gpu(uuid, "NVIDIA A100 MIG 1g.5gb");
  one.parent_uuid = parent;
  one.gpu_instance = gpu_instance;
  one.compute_instance = compute_instance;
  return one;
}

std::vector<Gpu> four() {
  return {gpu("GPU-0aaa"), gpu("GPU-0abb"), gpu("GPU-cccc"), gpu("GPU-dddd")};
}

// GPU 1 is partitioned into three.
std::vector<Gpu> partitioned() {
  return {gpu("GPU-0aaa"), instance("MIG-e1", "GPU-0abb", 1, 0),
          instance("MIG-e2", "GPU-0abb", 2, 0), instance("MIG-f3", "GPU-0abb", 11, 0),
          gpu("GPU-cccc")};
}

std::vector<std::string> uuids(const std::vector<Gpu>& gpus) {
  std::vector<std::string> all;
  for (const Gpu& one : gpus) all.push_back(one.uuid);
  return all;
}

std::vector<std::string> seen(std::vector<Gpu> all, const std::string& list) {
  return uuids(visible_gpus(std::move(all), {{"CUDA_VISIBLE_DEVICES", list}}).visible);
}

TEST(VisibleGpus, AreAllWithoutAVariable) {
  const VisibleGpus gpus = visible_gpus(four(), {});
  EXPECT_THAT(uuids(gpus.visible), ElementsAre("GPU-0aaa", "GPU-0abb", "GPU-cccc", "GPU-dddd"));
  EXPECT_THAT(gpus.hidden, IsEmpty());
  EXPECT_THAT(gpus.notes, IsEmpty());
  EXPECT_EQ(gpus.visible[3].visible_ordinal, 3);
}

TEST(VisibleGpus, ComeInTheOrderOfTheList) {
  const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", "3,1"}});
  EXPECT_THAT(uuids(gpus.visible), ElementsAre("GPU-dddd", "GPU-0abb"));
  EXPECT_EQ(gpus.visible[0].visible_ordinal, 0);
  EXPECT_EQ(gpus.visible[1].visible_ordinal, 1);
  EXPECT_THAT(uuids(gpus.hidden), ElementsAre("GPU-0aaa", "GPU-cccc"));
  EXPECT_EQ(gpus.hidden[0].visible_ordinal, kUnknown);
  EXPECT_EQ(gpus.hidden[0].hidden_because, "not in CUDA_VISIBLE_DEVICES=3,1");
  EXPECT_THAT(gpus.notes, IsEmpty());
}

TEST(VisibleGpus, AreNoneForAnEmptyListAndForMinusOne) {
  for (const char* list : {"", "  ", "-1", "-1,0"}) {
    const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", list}});
    EXPECT_THAT(gpus.visible, IsEmpty()) << list;
    ASSERT_THAT(gpus.hidden, SizeIs(4)) << list;
    EXPECT_THAT(gpus.hidden[0].hidden_because, HasSubstr("shows none"));
    ASSERT_THAT(gpus.notes, SizeIs(1)) << list;
    EXPECT_EQ(gpus.notes[0].kind, Note::Kind::kInfo) << "it was meant so";
  }
}

TEST(VisibleGpus, EndAtTheFirstInvalidEntryWithAWarning) {
  const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", "2,4,1"}});
  EXPECT_THAT(uuids(gpus.visible), ElementsAre("GPU-cccc"));
  ASSERT_THAT(gpus.notes, SizeIs(1));
  EXPECT_EQ(gpus.notes[0].kind, Note::Kind::kWarning);
  EXPECT_EQ(gpus.notes[0].text,
            "CUDA_VISIBLE_DEVICES=2,4,1 ends at \"4\": the GPUs here are 0 to 3; visible is 1 GPU");
}

// NVIDIA's own example.
TEST(VisibleGpus, EndAtMinusOneSilentlySinceItIsMeantSo) {
  const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", "0,2,-1,1"}});
  EXPECT_THAT(uuids(gpus.visible), ElementsAre("GPU-0aaa", "GPU-cccc"));
  EXPECT_THAT(gpus.notes, IsEmpty());
}

TEST(VisibleGpus, AreNoneWhenOneIsNamedTwice) {
  for (const char* list : {"0,1,0", "GPU-cccc,GPU-ccc"}) {
    const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", list}});
    EXPECT_THAT(gpus.visible, IsEmpty()) << list;
    ASSERT_THAT(gpus.notes, SizeIs(1)) << list;
    EXPECT_THAT(gpus.notes[0].text, HasSubstr("names a GPU twice"));
    EXPECT_THAT(gpus.hidden[0].hidden_because, HasSubstr("is void"));
  }
}

TEST(VisibleGpus, AreFoundByTheFirstDigitsOfTheirUuid) {
  EXPECT_THAT(seen(four(), "GPU-dddd,GPU-0aa"), ElementsAre("GPU-dddd", "GPU-0aaa"));
}

TEST(VisibleGpus, AreNotGuessedWhereDigitsFitSeveral) {
  const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", "GPU-c,GPU-0a"}});
  EXPECT_THAT(uuids(gpus.visible), ElementsAre("GPU-cccc"));
  ASSERT_THAT(gpus.notes, SizeIs(1));
  EXPECT_THAT(gpus.notes[0].text, HasSubstr("more than one GPU's UUID begins so"));
}

TEST(VisibleGpus, AreReadAsStrtoulDoes) {
  EXPECT_THAT(seen(four(), " 1gpu , +2x"), ElementsAre("GPU-0abb", "GPU-cccc"));
  EXPECT_THAT(seen(four(), "NoDevFiles"), IsEmpty());
  EXPECT_THAT(seen(four(), "1,,2"), ElementsAre("GPU-0abb"));
  EXPECT_THAT(seen(four(), "99999999999999999999"), IsEmpty());
}

TEST(VisibleGpus, DoNotMixIndexesAndUuids) {
  EXPECT_THAT(seen(four(), "0,GPU-cccc"), ElementsAre("GPU-0aaa"));
  EXPECT_THAT(seen(four(), "GPU-cccc,0"), ElementsAre("GPU-cccc"));
}

TEST(VisibleGpus, AreInstancesByUuid) {
  EXPECT_THAT(seen(partitioned(), "MIG-f3,MIG-e1"), ElementsAre("MIG-f3", "MIG-e1"));
  EXPECT_THAT(seen(partitioned(), "MIG-e"), IsEmpty()) << "it fits two";
}

TEST(VisibleGpus, AreInstancesByTheirOldName) {
  EXPECT_THAT(seen(partitioned(), "MIG-GPU-0abb/11/0,MIG-GPU-0abb/1/0"),
              ElementsAre("MIG-f3", "MIG-e1"));
  EXPECT_THAT(seen(partitioned(), "MIG-GPU-0abb/1"), IsEmpty());
  EXPECT_THAT(seen(partitioned(), "MIG-GPU-0abb/3/0"), IsEmpty());
}

// An old driver's UUIDs are the old names themselves.
TEST(VisibleGpus, TakesOldNamesWordForWord) {
  const std::vector<Gpu> all{instance("MIG-GPU-a/1/1", "GPU-a", 1, 1),
                             instance("MIG-GPU-a/1/10", "GPU-a", 1, 10)};
  EXPECT_THAT(seen(all, "MIG-GPU-a/1/1"), ElementsAre("MIG-GPU-a/1/1"));
}

TEST(VisibleGpus, CountAPartitionedGpuOnceAndTakeAllOfIt) {
  EXPECT_THAT(seen(partitioned(), "2,1"), ElementsAre("GPU-cccc", "MIG-e1", "MIG-e2", "MIG-f3"));
  EXPECT_THAT(seen(partitioned(), "GPU-0ab"), ElementsAre("MIG-e1", "MIG-e2", "MIG-f3"));
}

TEST(VisibleGpus, AreCountedAsTheDriverDoesWhereOneIsLeftOut) {
  const auto with_gap = [](const char* list) {
    return visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", list}}, {.left_out = {2}});
  };
  EXPECT_THAT(uuids(with_gap("3,0").visible), ElementsAre("GPU-cccc", "GPU-0aaa"));
  EXPECT_THAT(uuids(with_gap("4").visible), ElementsAre("GPU-dddd"));
  const VisibleGpus gone = with_gap("2");
  EXPECT_THAT(gone.visible, IsEmpty());
  EXPECT_THAT(gone.notes.at(0).text, HasSubstr("ends at \"2\": that GPU is left out"));
  EXPECT_THAT(with_gap("5").notes.at(0).text, HasSubstr("the GPUs here are 0, 1, 3, 4"));
}

TEST(VisibleGpus, TakeAnInstanceAtItsWordWhereNobodyShowsThem) {
  const auto unseen = [](std::vector<Gpu> all, const char* list) {
    return visible_gpus(std::move(all), {{"CUDA_VISIBLE_DEVICES", list}},
                        {.instances_known = false});
  };
  Gpu only = gpu("GPU-0aaa");
  only.bus_id = "0000:07:00.0";
  const VisibleGpus one = unseen({only}, "MIG-4d806f22");
  ASSERT_THAT(uuids(one.visible), ElementsAre("MIG-4d806f22"));
  EXPECT_EQ(one.visible[0].bus_id, "0000:07:00.0");
  EXPECT_EQ(one.visible[0].parent_uuid, "GPU-0aaa");
  ASSERT_THAT(one.notes, SizeIs(1));
  EXPECT_THAT(one.notes[0].text, HasSubstr("is taken at its word: without NVML"));

  Gpu other = gpu("GPU-0abb");
  other.bus_id = "0000:08:00.0";
  const VisibleGpus two = unseen({only, other}, "MIG-4d806f22");
  ASSERT_THAT(uuids(two.visible), ElementsAre("MIG-4d806f22"));
  EXPECT_TRUE(two.visible[0].is_instance());
  EXPECT_EQ(two.visible[0].bus_id, "") << "nobody knows its GPU";
  EXPECT_THAT(two.notes.at(0).text, HasSubstr("nor which GPU it is of"));
  EXPECT_EQ(unseen({only, other}, "MIG-GPU-0abb/1/0").visible.at(0).bus_id, "0000:08:00.0");

  EXPECT_THAT(unseen({only, other}, "MIG-4d806f22,MIG-4d806f22").visible, IsEmpty()) << "twice";
  const VisibleGpus mixed = unseen({only, other}, "0,MIG-4d806f22");
  EXPECT_THAT(uuids(mixed.visible), ElementsAre("GPU-0aaa"));
  EXPECT_THAT(uuids(mixed.hidden), ElementsAre("GPU-0abb"));
}

TEST(VisibleGpus, SaysThatAProcessSeesOneInstance) {
  const VisibleGpus gpus = visible_gpus(partitioned(), {});
  ASSERT_THAT(gpus.notes, SizeIs(1));
  EXPECT_EQ(gpus.notes[0].subject, "MIG");
  EXPECT_EQ(gpus.notes[0].text,
            "3 instances and 2 whole GPUs visible: CUDA shows a process one instance only");
}

TEST(VisibleGpus, WarnsThatNumbersOfSeveralModelsAreCudasSecret) {
  const std::vector<Gpu> all{gpu("GPU-a", "NVIDIA T4"), gpu("GPU-b", "NVIDIA A100")};
  const VisibleGpus gpus = visible_gpus(all, {{"CUDA_VISIBLE_DEVICES", "1"}});
  ASSERT_THAT(gpus.notes, SizeIs(1));
  EXPECT_EQ(gpus.notes[0].subject, "CUDA_DEVICE_ORDER");
  EXPECT_EQ(gpus.notes[0].kind, Note::Kind::kWarning);
  EXPECT_THAT(visible_gpus(all, {{"CUDA_DEVICE_ORDER", "PCI_BUS_ID"}}).notes, IsEmpty());
  EXPECT_EQ(visible_gpus(all, {{"CUDA_VISIBLE_DEVICES", "GPU-b"}}).notes[0].kind, Note::Kind::kInfo)
      << "a UUID means one GPU whatever the order";
}

TEST(VisibleGpus, OfAmdAreThoseOfHipsListAmongRocrs) {
  std::vector<Gpu> all = four();
  for (Gpu& one : all) one.vendor = kAmdVendor;
  const Environment both{{"ROCR_VISIBLE_DEVICES", "3,2,0"}, {"HIP_VISIBLE_DEVICES", "1"}};
  EXPECT_THAT(uuids(visible_gpus(all, both).visible), ElementsAre("GPU-cccc"));
  EXPECT_THAT(uuids(visible_gpus(all, {{"CUDA_VISIBLE_DEVICES", "1"}}).visible),
              ElementsAre("GPU-0abb"))
      << "HIP reads it too";
  EXPECT_THAT(visible_gpus(all, {{"HIP_VISIBLE_DEVICES", "5"}}).notes.at(0).hint,
              HasSubstr("ROCm ignores an invalid entry"));
}

TEST(VisibleGpus, ExplainsAContainerWithoutGpus) {
  const auto notes_for = [](const std::string& value) {
    return visible_gpus({}, {{"NVIDIA_VISIBLE_DEVICES", value}}).notes;
  };
  ASSERT_THAT(notes_for("void"), SizeIs(1));
  EXPECT_THAT(notes_for("void")[0].text, HasSubstr("started without GPUs"));
  EXPECT_THAT(notes_for("all")[0].text, HasSubstr("asks for GPUs, and none is here"));
  EXPECT_THAT(visible_gpus(four(), {{"NVIDIA_VISIBLE_DEVICES", "0"}}).visible, SizeIs(4))
      << "it acted when the container was made";
}

TEST(VisibleGpus, SaysNothingOfAListWhereThereAreNone) {
  const VisibleGpus gpus = visible_gpus({}, {{"CUDA_VISIBLE_DEVICES", "0,1"}});
  EXPECT_THAT(gpus.visible, IsEmpty());
  EXPECT_THAT(gpus.notes, IsEmpty());
}

TEST(VisibleGpus, ShowsAListSafelyAndNotEndlessly) {
  const std::string list = "\x1b[31m" + std::string(5000, '9');
  const VisibleGpus gpus = visible_gpus(four(), {{"CUDA_VISIBLE_DEVICES", list}});
  ASSERT_THAT(gpus.notes, SizeIs(1));
  EXPECT_EQ(gpus.notes[0].text.find('\x1b'), std::string::npos);
  EXPECT_LT(gpus.notes[0].text.size(), 600U);
}

}  // namespace
}  // namespace muster::topology
