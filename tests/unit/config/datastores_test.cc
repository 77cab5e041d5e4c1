#include "launcher/config/datastores.h"

#include <gtest/gtest.h>

namespace muster::config {
namespace {

constexpr const char* kGood = R"(
datastores:
  scratch: {type: local, path: data/scratch}
  home: {type: nfs, server: files, export: /home, options: "hard,nconnect=4"}
  blob: {type: rclone, remote: "azure:container", config_file: rclone.conf, options: [--log-level, INFO]}
  bucket:
    type: command
    source: my-bucket
    mount: [mount-s3, "{source}", "{target}", -o, "{options}"]
    unmount: [umount, "{target}"]
    environment_file: /etc/bucket.env
default: blob
assets: {"digits:1": datastore://blob/digits}
locations:
  "https://account.blob.core.windows.net/container": datastore://blob
)";

std::string problems_of(const std::string& text) {
  const auto read = read_datastores(text, "datastores.yaml", "/etc/muster");
  if (read) return "";
  std::string all;
  for (const Error& error : read.error()) {
    all += (error.location ? std::to_string(error.location->line) + ":" +
                                 std::to_string(error.location->column) + ": "
                           : "") +
           error.message + " | " + error.hint + "\n";
  }
  return all;
}

TEST(Datastores, ReadsEveryType) {
  const auto read = read_datastores(kGood, "datastores.yaml", "/etc/muster");
  ASSERT_TRUE(read) << problems_of(kGood);
  ASSERT_EQ(read->names(), (std::vector<std::string>{"scratch", "home", "blob", "bucket"}));
  EXPECT_EQ(read->find("scratch")->path, "/etc/muster/data/scratch");
  EXPECT_EQ(read->find("home")->export_path, "/home");
  EXPECT_EQ(read->find("home")->options, std::vector<std::string>{"hard,nconnect=4"});
  EXPECT_EQ(read->find("blob")->config_file, "/etc/muster/rclone.conf");
  EXPECT_EQ(read->find("blob")->options, (std::vector<std::string>{"--log-level", "INFO"}));
  EXPECT_EQ(read->find("bucket")->environment_file, "/etc/bucket.env");
  EXPECT_EQ(read->find("bucket")->mount.size(), 5U);
  EXPECT_EQ(read->find("bucket")->origin.text, "datastores.yaml:6:3");
  EXPECT_EQ(read->default_store->value, "blob");
  EXPECT_EQ(read->assets.at(0).second.value, "datastore://blob/digits");
  EXPECT_EQ(read->locations.at(0).first, "https://account.blob.core.windows.net/container");
  EXPECT_EQ(read->find("none"), nullptr);
}

TEST(Datastores, AnEmptyFileHasNone) {
  const auto read = read_datastores("", "datastores.yaml", "/etc");
  ASSERT_TRUE(read);
  EXPECT_TRUE(read->stores.empty());
}

TEST(Datastores, SaysEverythingThatIsWrongAtItsPlace) {
  EXPECT_EQ(problems_of("datastores:\n"
                        "  a: {type: locol, path: /x}\n"
                        "  b: {path: /x}\n"
                        "  c: {type: nfs, server: files, exprot: /home}\n"
                        "  d: {type: rclone, remote: container}\n"
                        "  e: {type: command, mount: [mount-s3, bucket]}\n"
                        "  f: 3\n"
                        "defualt: a\n"),
            "2:13: datastores.a.type: \"locol\" is no type of datastore | did you mean \"local\"?\n"
            "3:3: datastores.b.type: it is missing | write one of local, nfs, rclone, command\n"
            "4:3: datastores.c.export: it is missing | a datastore of type nfs needs it\n"
            "4:33: unknown key \"exprot\" in the datastore \"c\" of type nfs | did you mean "
            "\"export\"?\n"
            "5:3: datastores.d.remote: \"container\" names no remote | write "
            "\"remote:bucket/prefix\"; `rclone listremotes` shows those that there are\n"
            "6:3: datastores.e.mount: no word says where to mount | write {target} where the mount "
            "point belongs, and {source} for what is mounted\n"
            "7:6: datastores.f: it takes keys with values | write for example {type: local, path: "
            "/srv/blob}\n"
            "8:1: unknown key \"defualt\" | did you mean \"default\"?\n");
}

TEST(Datastores, TheDefaultIsOneOfThem) {
  EXPECT_EQ(problems_of("datastores: {blob: {type: local, path: /x}}\ndefault: blub\n"),
            "2:10: default: there is no datastore \"blub\" | did you mean \"blob\"?\n");
}

TEST(Datastores, RefusesCredentialsInWordsOfACommandLine) {
  for (const char* word : {"--s3-secret-access-key=x",
                           "--sftp-pass",
                           ":s3,secret_access_key=x,region=y:bucket",
                           "https://host/x?sv=1&sig=abc",
                           "https://user:word@host/x",
                           "password=x",
                           "AccountKey=x",
                           "--azureblob-key=abc",
                           "--azureblob-sas-url=https://x",
                           "//user:abc@host/share",
                           "user:abc@host:/export",
                           "Authorization: Basic abc",
                           "--header=Authorization: Basic abc",
                           "X-Api-Key: abc",
                           ":http,url=x,headers='Authorization,abc':",
                           "Cookie: abc",
                           "--gcs-service-account-credentials={\"private_key\":\"abc\"}",
                           "--sftp-key-pem=abc",
                           ":sftp,key_pem=abc:",
                           "--webdav-pass=$abc",
                           "--s3-secret-access-key={abc",
                           "https://host/x?X-Amz-Signature=abc"}) {
    EXPECT_NE(check_for_secret(word).why, "") << word;
    EXPECT_EQ(check_for_secret(word).why.find("abc"), std::string::npos) << word;
  }
  for (const char* word :
       {"--s3-region=eu", "--sftp-key-file=/etc/key", "passwd_file=/etc/x", "sec=krb5",
        "--bypass=1", "credentials=/etc/x", "--password-file=/x", "https://host/x",
        "user@host:path", "keyring=/x", "password={options}", "remote:me@there/x",
        "--gcs-service-account-file=/x", "--header=Accept: text/plain", "key-store:bucket",
        "//host/share", "file:///x"}) {
    EXPECT_EQ(check_for_secret(word).why, "") << word;
  }
  EXPECT_NE(problems_of("datastores:\n  a: {type: rclone, remote: \"x:\", options: "
                        "[--sftp-pass, hunter2]}\n")
                .find("2:44: datastores.a.options: it gives a credential (--sftp-pass)"),
            std::string::npos);
}

}  // namespace
}  // namespace muster::config
