#include "launcher/plan/data_place.h"

#include <gtest/gtest.h>

namespace muster::plan {
namespace {

const config::Datastores& stores() {
  static const auto read = config::read_datastores(R"(
datastores:
  blob: {type: rclone, remote: "azure:container/top"}
  root: {type: rclone, remote: "azure:", config_file: rclone.conf}
  disk: {type: local, path: /srv/disk}
  home: {type: nfs, server: files, export: /home}
  own: {type: command, source: bucket, mount: [m, "{target}"]}
default: disk
assets:
  "digits:2": datastore://disk/d2
  "digits:10": datastore://disk/d10
  "near:1": ./near
  "loop:1": azureml:loop:1
locations:
  "https://acc.blob.core.windows.net/c": datastore://blob
  "s3://bucket/": datastore://own/b
)",
                                                   "datastores.yaml", "/etc/muster");
  return *read;
}

std::string place(const std::string& text) {
  const auto found = resolve_place(text, "/srv/project", stores());
  return found ? found->location : "refused: " + found.error().why + " | " + found.error().hint;
}

TEST(DataPlace, KnowsEveryFormOfAPath) {
  EXPECT_EQ(place("data/digits/"), "/srv/project/data/digits");
  EXPECT_EQ(place("../x"), "/srv/x");
  EXPECT_EQ(place("/data"), "/data");
  EXPECT_EQ(place("file:///data/x"), "/data/x");
  EXPECT_EQ(place("file:x"), "/srv/project/x");
  EXPECT_EQ(place("datastore://disk/a/b"), "/srv/disk/a/b");
  EXPECT_EQ(place("datastore://disk"), "/srv/disk");
  EXPECT_EQ(place("datastore://default/a"), "/srv/disk/a");
  EXPECT_EQ(place("datastore://blob/a"), "azure:container/top/a");
  EXPECT_EQ(place("datastore://root/a"), "azure:a");
  EXPECT_EQ(place("datastore://home/me"), "files:/home/me");
  EXPECT_EQ(place("datastore://own/p"), "bucket/p");
  EXPECT_EQ(place("azureml://datastores/disk/paths/a/b"), "/srv/disk/a/b");
  EXPECT_EQ(place("azureml://datastores/${{default_datastore}}/paths/a"), "/srv/disk/a");
  EXPECT_EQ(
      place("azureml://subscriptions/S/resourcegroups/R/workspaces/W/datastores/disk/paths/a"),
      "/srv/disk/a");
  EXPECT_EQ(place("https://host:8080/a/b.csv"), ":http,url='https://host:8080':a/b.csv");
}

TEST(DataPlace, FollowsAssetsAndLocations) {
  EXPECT_EQ(place("azureml:digits:2"), "/srv/disk/d2");
  EXPECT_EQ(place("azureml:digits@latest"), "/srv/disk/d10");
  EXPECT_EQ(place("azureml:digits"), "/srv/disk/d10");
  EXPECT_EQ(place("azureml:near:1"), "/etc/muster/near") << "relative to the file that says it";
  EXPECT_EQ(place("https://acc.blob.core.windows.net/c/a.csv"), "azure:container/top/a.csv");
  EXPECT_EQ(place("s3://bucket/x"), "bucket/b/x");
}

TEST(DataPlace, RefusesWithWhatToDo) {
  EXPECT_EQ(place("datastore://disc/a"),
            "refused: there is no datastore \"disc\" | did you mean \"disk\"?");
  EXPECT_EQ(place("azureml:digits:3"),
            "refused: there is no data asset \"digits:3\" | did you mean \"digits:2\"?");
  EXPECT_EQ(place("datastore://disk/../../etc"),
            "refused: \"../../etc\" leaves the datastore \"disk\" | write a path inside it");
  EXPECT_EQ(
      place("wasbs://c@acc.blob.core.windows.net/x"),
      "refused: nothing here reads \"wasbs://\" | say which datastore that is, under "
      "\"locations\" in datastores.yaml: {locations: {\"wasbs://c@acc.blob.core.windows.net\": "
      "datastore://NAME}}; or use mode: direct, which gives the ranks the address as text");
  EXPECT_TRUE(place("azureml:loop:1").starts_with("refused: \"azureml:loop:1\" stands for"));
  EXPECT_TRUE(place("azureml://registries/r/data/x").starts_with("refused: cannot tell"));
}

TEST(DataPlace, ACredentialIsNeverRepeated) {
  EXPECT_EQ(place("https://host/a?sv=1&sig=hunter2").find("hunter2"), std::string::npos);
  EXPECT_TRUE(place("https://host/a?sv=1&sig=hunter2").starts_with("refused: "));
  EXPECT_EQ(place("https://user:hunter2@host/a").find("hunter2"), std::string::npos);
  EXPECT_EQ(shown_path("https://user:hunter2@host/a?x"), "https://…@host/a?…");
  EXPECT_EQ(shown_path("wasbs://c@account/a"), "wasbs://c@account/a");
}

}  // namespace
}  // namespace muster::plan
