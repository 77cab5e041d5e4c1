#include "collector/replication/tls_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace muster::replication {
namespace {

const Key& psk() {
  static const Key key = derive_key("one token", "tls psk");
  return key;
}

// Moves what both have to say until neither has more.
struct Talk {
  TlsSession& client;
  TlsSession& server;
  Result<> client_result;
  Result<> server_result;
  std::string to_client;
  std::string to_server;
  std::string on_the_wire;

  void run() {
    while (true) {
      const std::string up = client.take_output();
      const std::string down = server.take_output();
      if (up.empty() && down.empty()) return;
      on_the_wire += up + down;
      const auto into = [](std::string& text) {
        return [&](std::string_view bytes) {
          text += bytes;
          return Result<>();
        };
      };
      if (server_result) server_result = server.receive(up, into(to_server));
      if (client_result) client_result = client.receive(down, into(to_client));
    }
  }
};

TEST(TlsSession, CarriesBytesBothWays) {
  const auto client_context = TlsContext::create(TlsSide::kClient, psk()).value();
  const auto server_context = TlsContext::create(TlsSide::kServer, psk()).value();
  TlsSession client(client_context);
  TlsSession server(server_context);
  Talk talk{client, server, {}, {}, {}, {}, {}};
  talk.run();
  ASSERT_TRUE(talk.client_result) << talk.client_result.error().message;
  ASSERT_TRUE(talk.server_result) << talk.server_result.error().message;
  ASSERT_TRUE(client.ready() && server.ready());
  EXPECT_EQ(client.exporter(), server.exporter());
  const std::string much(1 << 20, 'm');
  ASSERT_TRUE(client.send(much));
  ASSERT_TRUE(server.send("answer"));
  talk.run();
  EXPECT_EQ(talk.to_server, much);
  EXPECT_EQ(talk.to_client, "answer");
  EXPECT_EQ(talk.on_the_wire.find("answer"), std::string::npos);
}

TEST(TlsSession, HasAnExporterOfItsOwn) {
  const auto client_context = TlsContext::create(TlsSide::kClient, psk()).value();
  const auto server_context = TlsContext::create(TlsSide::kServer, psk()).value();
  std::vector<std::string> exporters;
  for (int i = 0; i < 2; ++i) {
    TlsSession client(client_context);
    TlsSession server(server_context);
    Talk{client, server, {}, {}, {}, {}, {}}.run();
    ASSERT_TRUE(client.ready());
    exporters.push_back(client.exporter());
  }
  EXPECT_NE(exporters[0], exporters[1]);
}

TEST(TlsSession, RefusesAnotherKey) {
  const auto client_context =
      TlsContext::create(TlsSide::kClient, derive_key("another", "tls psk")).value();
  const auto server_context = TlsContext::create(TlsSide::kServer, psk()).value();
  TlsSession client(client_context);
  TlsSession server(server_context);
  Talk talk{client, server, {}, {}, {}, {}, {}};
  talk.run();
  EXPECT_FALSE(talk.client_result);
  EXPECT_FALSE(talk.server_result);
  EXPECT_FALSE(client.ready() || server.ready());
  EXPECT_EQ(talk.server_result.error().code, ErrorCode::kPermission);
}

TEST(TlsSession, NoticesAChangedByte) {
  const auto client_context = TlsContext::create(TlsSide::kClient, psk()).value();
  const auto server_context = TlsContext::create(TlsSide::kServer, psk()).value();
  TlsSession client(client_context);
  TlsSession server(server_context);
  Talk{client, server, {}, {}, {}, {}, {}}.run();
  ASSERT_TRUE(client.send("hello"));
  std::string changed = client.take_output();
  changed.back() = static_cast<char>(changed.back() ^ 1);
  std::string seen;
  EXPECT_FALSE(server.receive(changed, [&](std::string_view bytes) {
    seen += bytes;
    return Result<>();
  }));
  EXPECT_EQ(seen, "");
}

// Peers written with OpenSSL alone, as somebody else would.

void free_all(SSL* ssl, SSL_CTX* context) {
  SSL_free(ssl);
  SSL_CTX_free(context);
}

struct PlainPeer {
  SSL_CTX* context = nullptr;
  SSL* ssl = nullptr;
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  bool done = false;
  bool failed = false;

  explicit PlainPeer(SSL_CTX* made, bool server) : context(made), ssl(SSL_new(made)) {
    SSL_set_bio(ssl, in, out);
    server ? SSL_set_accept_state(ssl) : SSL_set_connect_state(ssl);
  }
  PlainPeer(const PlainPeer&) = delete;
  ~PlainPeer() { free_all(ssl, context); }

  std::string receive(const std::string& bytes) {
    BIO_write(in, bytes.data(), static_cast<int>(bytes.size()));
    if (!done && !failed) {
      const int result = SSL_do_handshake(ssl);
      done = result == 1;
      failed = result != 1 && SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ;
    }
    std::string said(static_cast<std::size_t>(BIO_pending(out)), '\0');
    BIO_read(out, said.data(), static_cast<int>(said.size()));
    return said;
  }
};

SSL_CTX* with_certificate() {
  SSL_CTX* context = SSL_CTX_new(TLS_server_method());
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  SSL_CTX_use_certificate(context, certificate);
  SSL_CTX_use_PrivateKey(context, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return context;
}

TEST(TlsSession, RefusesAServerWithACertificateAndNoKey) {
  const auto context = TlsContext::create(TlsSide::kClient, psk()).value();
  TlsSession client(context);
  PlainPeer server(with_certificate(), true);
  Result<> result;
  for (int turn = 0; turn < 5 && result; ++turn) {
    const std::string answer = server.receive(client.take_output());
    result = client.receive(answer, [](std::string_view) { return Result<>(); });
  }
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kPermission);
  EXPECT_FALSE(client.ready());
  server.receive(client.take_output());
  EXPECT_TRUE(server.failed) << "it is told";
  EXPECT_FALSE(server.done);
}

TEST(TlsSession, RefusesAClientWithoutAKeyOrWithAnOlderTls) {
  for (const int most : {TLS1_3_VERSION, TLS1_2_VERSION}) {
    const auto context = TlsContext::create(TlsSide::kServer, psk()).value();
    TlsSession server(context);
    SSL_CTX* plain = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(plain, most);
    PlainPeer client(plain, false);
    Result<> result;
    std::string said = client.receive("");
    for (int turn = 0; turn < 5 && result; ++turn) {
      result = server.receive(said, [](std::string_view) { return Result<>(); });
      said = client.receive(server.take_output());
    }
    EXPECT_FALSE(result);
    EXPECT_FALSE(server.ready());
    EXPECT_TRUE(client.failed);
  }
}

TEST(TlsSession, KnowsAFirstRecordFromNoise) {
  const auto context = TlsContext::create(TlsSide::kClient, psk()).value();
  TlsSession client(context);
  const std::string hello = client.take_output();
  EXPECT_EQ(begins_tls(hello), true);
  EXPECT_EQ(begins_tls(hello.substr(0, 5)), std::nullopt);
  EXPECT_EQ(begins_tls(""), std::nullopt);
  for (const char* noise :
       {"GET / HTTP/1.0\r\n", "MUSTER\r\n", "\x16\x02xxxx", "\x16\x03\x01\xff\xff\x01"}) {
    EXPECT_EQ(begins_tls(noise), false) << noise;
  }
}

}  // namespace
}  // namespace muster::replication
