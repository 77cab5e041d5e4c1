#include "launcher/plan/data_plan.h"

#include <gmock/gmock.h>

#include "base/text.h"
#include "launcher/config/read_config.h"

namespace muster::plan {
namespace {

class DataPlanTest : public ::testing::Test {
 protected:
  DataPlanTest() {
    facts_.may_mount = true;
    facts_.mount_program = "/bin/mount";
    facts_.umount_program = "/bin/umount";
    facts_.rclone = "/bin/rclone";
    facts_.rclone_version = "1.60";
    facts_.fusermount = "/bin/fusermount3";
    facts_.has_fuse = true;
    facts_.local["/srv/digits"] = {true, true, true, "", std::nullopt};
    facts_.local["/srv/a b.csv.gz"] = {true, false, true, "", 17};
    facts_.local["/srv/p/near"] = {true, true, true, "", std::nullopt};
    datastores_ = *config::read_datastores(R"(
datastores:
  disk: {type: local, path: /srv}
  blob: {type: rclone, remote: "azure:container", config_file: rclone.conf, options: [--log-level, INFO]}
  home: {type: nfs, server: files, export: /home, options: "hard,nconnect=4"}
  own: {type: command, source: bucket, options: [allow_other], mount: [mnt, "{source}", "{target}", -o, "{options}"]}
)",
                                           "datastores.yaml", "/etc");
  }

  Result<DataPlan> plan(const std::string& bindings) {
    auto config = config::read_config("command: run\n" + bindings, "run.yaml", "/srv/p", {});
    if (!config) return Failure(config.error().front());
    config_ = std::move(*config);
    return plan_data(config_, datastores_, facts_);
  }

  DataItem item(const std::string& binding) {
    const auto made = plan(binding);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made && made->items.size() == 1 ? made->items.front() : DataItem{};
  }

  std::string refusal(const std::string& binding) {
    const auto made = plan(binding);
    return made ? "planned as " + to_string(made->items.front().means)
                : made.error().message + " | " + made.error().hint;
  }

  static std::string lines(const std::vector<HelperCommand>& helpers) {
    std::string text;
    for (const HelperCommand& each : helpers) text += join(each.argv, " ") + "\n";
    return text;
  }

  DataFacts facts_;
  config::Datastores datastores_;
  config::RunConfig config_;
};

TEST_F(DataPlanTest, ALocalFolderIsBoundReadOnly) {
  const DataItem got = item("inputs: {digits: {path: datastore://disk/digits}}");
  EXPECT_EQ(got.means, DataMeans::kBind);
  EXPECT_EQ(got.value, "<set at start>/digits");
  EXPECT_EQ(got.mount_point, "<set at start>/digits");
  EXPECT_TRUE(got.read_only);
  EXPECT_EQ(lines(got.helpers),
            "/bin/mount --no-mtab --rbind --make-rslave /srv/digits <set at start>/digits\n"
            "/bin/mount --no-mtab -o remount,bind,ro <set at start>/digits\n");
  EXPECT_EQ(join(got.unmount, " "), "/bin/umount -R <set at start>/digits");
  EXPECT_EQ(join(got.variables, " "),
            "AZUREML_DATAREFERENCE_digits AZURE_ML_INPUT_digits AZ_BATCHAI_INPUT_digits");
}

TEST_F(DataPlanTest, WithoutTheRightToMountItIsALinkAndSaysWhy) {
  facts_.may_mount = false;
  facts_.why_not_mount = "it takes root";
  const DataItem got = item("inputs: {digits: {path: near}}");
  EXPECT_EQ(got.means, DataMeans::kLink);
  EXPECT_EQ(got.link_target, "/srv/p/near");
  EXPECT_EQ(got.mount_point, "");
  EXPECT_FALSE(got.read_only);
  EXPECT_EQ(got.why,
            "link, because mounting is not permitted (it takes root); read_only is not enforced");
}

TEST_F(DataPlanTest, AFileKeepsItsNameAsFarAsAShellLikesIt) {
  const DataItem got = item("inputs: {table: {path: /srv/a b.csv.gz}}");
  EXPECT_EQ(got.type, config::DataType::kFile);
  EXPECT_EQ(got.value, "<set at start>/table/a_b.csv.gz");
  EXPECT_EQ(got.mount_point, got.value);
  EXPECT_EQ(got.bytes, 17);
}

TEST_F(DataPlanTest, ARemoteIsMountedByRcloneInTheForeground) {
  const DataItem got = item("inputs: {d: {path: datastore://blob/x}}");
  EXPECT_EQ(got.means, DataMeans::kRclone);
  ASSERT_EQ(got.helpers.size(), 1U);
  EXPECT_TRUE(got.helpers[0].stays);
  EXPECT_EQ(lines(got.helpers),
            "/bin/rclone mount --config /etc/rclone.conf --read-only --log-level INFO "
            "azure:container/x <set at start>/d\n");
  const DataItem out = item("outputs: {d: {path: datastore://blob/x}}");
  EXPECT_EQ(lines(out.helpers),
            "/bin/rclone mount --config /etc/rclone.conf --vfs-cache-mode writes --vfs-write-back "
            "1s --cache-dir <run directory>/.write-cache/d --log-level INFO azure:container/x "
            "<set at start>/d\n");
  const DataItem file = item("inputs: {d: {path: datastore://blob/x/t.csv, type: file}}");
  EXPECT_EQ(file.value, "<set at start>/d/t.csv");
  EXPECT_EQ(file.link_target, "<set at start>/.mounts/d/t.csv");
  EXPECT_EQ(lines(file.helpers),
            "/bin/rclone mount --config /etc/rclone.conf --include /t.csv --read-only --log-level "
            "INFO azure:container/x <set at start>/.mounts/d\n");
}

TEST_F(DataPlanTest, NfsAndOwnCommandsAreFilledIn) {
  facts_.mount_nfs = "/sbin/mount.nfs";
  EXPECT_EQ(lines(item("inputs: {d: {path: datastore://home/me, read_only: false}}").helpers),
            "/bin/mount -t nfs -o rw,hard,nconnect=4 files:/home/me <set at start>/d\n");
  EXPECT_EQ(lines(item("inputs: {d: {path: datastore://own/p}}").helpers),
            "mnt bucket/p <set at start>/d -o ro,allow_other\n"
            "/bin/mount --no-mtab -o remount,bind,ro <set at start>/d\n");
}

TEST_F(DataPlanTest, WhatIsMissingIsAnErrorWithAWayOut) {
  EXPECT_EQ(refusal("inputs: {d: {path: datastore://home/me}}"),
            "input d: cannot mount files:/home/me: no mount.nfs is here | install it: apt-get "
            "install nfs-common");
  facts_.has_fuse = false;
  facts_.why_not_fuse = "/dev/fuse is not there";
  EXPECT_EQ(refusal("inputs: {d: {path: datastore://blob/x}}"),
            "input d: cannot mount azure:container/x: /dev/fuse is not there | use mode: download, "
            "which needs no mount");
  facts_.rclone.clear();
  EXPECT_EQ(refusal("inputs: {d: {path: datastore://blob/x, mode: download}}"),
            "input d: cannot copy azure:container/x: no rclone is on PATH | install it: apt-get "
            "install rclone");
  EXPECT_EQ(refusal("inputs: {d: {path: /none}}"),
            "input d: /none does not exist | the path counts from the directory of the config");
  EXPECT_EQ(
      refusal("inputs: {d: {path: datastore://own/p, mode: download}}"),
      "input d: download from the datastore own is not possible: it can only be mounted | use "
      "mode: mount");
  EXPECT_EQ(refusal("inputs: {d: {path: datastore://dusk/p}}"),
            "inputs.d.path: there is no datastore \"dusk\" | did you mean \"disk\"?");
  EXPECT_THAT(
      refusal("inputs: {d: {path: \"https://h/x?sv=1&sig=abc\", mode: direct}}"),
      ::testing::AllOf(::testing::StartsWith("inputs.d.path: it holds a credential (sig=…)"),
                       ::testing::Not(::testing::HasSubstr("abc"))));
}

TEST_F(DataPlanTest, CopiesValuesAndTheRunDirectory) {
  const auto made = plan(
      "inputs:\n  lr: 0.1\n  d: {path: datastore://blob/x, mode: download}\n"
      "  u: {path: \"s3://bucket/x\", mode: direct}\n  none:\n"
      "outputs:\n  model: {path: datastore://blob/m, mode: upload, environment_variable: "
      "model_dir}\n"
      "  notes:\n  d:\n");
  ASSERT_TRUE(made) << made.error().message;
  std::string all;
  for (const DataItem& each : made->items) {
    all += each.name + ": " + to_string(each.means) + " " + each.value + " -> " + each.link_target +
           "\n";
  }
  EXPECT_EQ(all,
            "lr: literal 0.1 -> \n"
            "d: download <set at start>/d -> \n"
            "u: direct s3://bucket/x -> \n"
            "model: upload <set at start>/model -> <run directory>/outputs/model\n"
            "notes: run directory <set at start>/notes -> <run directory>/outputs/notes\n"
            "d: run directory <set at start>/d-output -> <run directory>/outputs/d\n");
  EXPECT_EQ(join(made->items[3].variables, " "),
            "AZUREML_DATAREFERENCE_model AZURE_ML_OUTPUT_model AZ_BATCHAI_OUTPUT_model model_dir "
            "MODEL_DIR");
  const auto values = reference_values(config_, *made);
  EXPECT_EQ(values.inputs.at("lr"), "0.1");
  EXPECT_EQ(values.inputs.at("none"), std::nullopt);
  EXPECT_EQ(values.outputs.at("d"), "<set at start>/d-output");
}

TEST_F(DataPlanTest, TheStartFillsInItsPaths) {
  auto made = plan("outputs:\n  d: {path: datastore://blob/x}\n  n:\n");
  ASSERT_TRUE(made);
  set_data_places(*made, "/run/m/data", "/runs/1");
  EXPECT_EQ(made->items[0].value, "/run/m/data/d");
  EXPECT_EQ(made->items[0].mount_point, "/run/m/data/d");
  EXPECT_TRUE(made->items[0].helpers[0].argv.back() == "/run/m/data/d");
  EXPECT_NE(lines(made->items[0].helpers).find("--cache-dir /runs/1/.write-cache/d"),
            std::string::npos);
  EXPECT_EQ(made->items[1].link_target, "/runs/1/outputs/n");
}

}  // namespace
}  // namespace muster::plan
