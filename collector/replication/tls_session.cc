#include "collector/replication/tls_session.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <stdexcept>
#include <utility>

namespace muster::replication {
namespace {

constexpr std::string_view kIdentity = "muster-replication-1";
constexpr std::string_view kExporterLabel = "EXPORTER-muster-replication-1";

// Both have SHA-256, which the PSK is bound to; AES first, where processors help.
constexpr const char* kSuites = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
constexpr unsigned char kSuiteOfPsk[] = {0x13, 0x01};

void drop(SSL_CTX* context) {
  SSL_CTX_free(context);
}
void drop(SSL* session) {
  SSL_free(session);
}
void drop(BIO_METHOD* method) {
  BIO_meth_free(method);
}
struct Drop {
  template <typename T>
  void operator()(T* object) const {
    drop(object);
  }
};
template <typename T>
using Owned = std::unique_ptr<T, Drop>;

// OpenSSL's own words for the first thing that went wrong.
std::string openssl_reason() {
  const unsigned long code = ERR_get_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unknown reason" : reason;
}

// The session that a PSK stands for.
SSL_SESSION* session_of(SSL* ssl, const Key& psk) {
  SSL_SESSION* session = SSL_SESSION_new();
  const SSL_CIPHER* suite = SSL_CIPHER_find(ssl, kSuiteOfPsk);
  const auto* key = reinterpret_cast<const unsigned char*>(psk.bytes().data());
  if (session != nullptr && suite != nullptr &&
      SSL_SESSION_set1_master_key(session, key, psk.bytes().size()) == 1 &&
      SSL_SESSION_set_cipher(session, suite) == 1 &&
      SSL_SESSION_set_protocol_version(session, TLS1_3_VERSION) == 1) {
    return session;
  }
  SSL_SESSION_free(session);
  return nullptr;
}

// What stands between OpenSSL and its caller.
struct Buffers {
  std::string_view input;  // what came and OpenSSL has not read yet
  std::string output;
};

Buffers& buffers_of(BIO* bio) {
  return *static_cast<Buffers*>(BIO_get_data(bio));
}

int read_input(BIO* bio, char* into, int most) {
  std::string_view& input = buffers_of(bio).input;
  BIO_clear_retry_flags(bio);
  if (input.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t size = std::min(input.size(), static_cast<std::size_t>(most));
  std::memcpy(into, input.data(), size);
  input.remove_prefix(size);
  return static_cast<int>(size);
}

int write_output(BIO* bio, const char* bytes, int size) {
  BIO_clear_retry_flags(bio);
  buffers_of(bio).output.append(bytes, static_cast<std::size_t>(size));
  return size;
}

long control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int create_bio(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

}  // namespace

struct TlsContext::State {
  TlsSide side = TlsSide::kClient;
  Key psk;
  Owned<BIO_METHOD> method;
  Owned<SSL_CTX> context;

  static const Key& psk_of(SSL* ssl) {
    return static_cast<State*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)))->psk;
  }
  static int offer_psk(SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* id_size,
                       SSL_SESSION** session) {
    *id = reinterpret_cast<const unsigned char*>(kIdentity.data());
    *id_size = kIdentity.size();
    *session = session_of(ssl, psk_of(ssl));
    return *session == nullptr ? 0 : 1;
  }
  static int find_psk(SSL* ssl, const unsigned char* id, std::size_t id_size,
                      SSL_SESSION** session) {
    const std::string_view given(reinterpret_cast<const char*>(id), id_size);
    *session = given == kIdentity ? session_of(ssl, psk_of(ssl)) : nullptr;
    return 1;  // without a session OpenSSL refuses: there is no certificate
  }
};

TlsContext::TlsContext(std::unique_ptr<State> state) : state_(std::move(state)) {}
TlsContext::TlsContext(TlsContext&&) noexcept = default;
TlsContext& TlsContext::operator=(TlsContext&&) noexcept = default;
TlsContext::~TlsContext() = default;

Result<TlsContext> TlsContext::create(TlsSide side, const Key& psk) {
  auto state = std::make_unique<State>();
  state->side = side;
  state->psk = Key(psk.bytes());
  state->context.reset(
      SSL_CTX_new(side == TlsSide::kClient ? TLS_client_method() : TLS_server_method()));
  state->method.reset(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "muster strings"));
  SSL_CTX* context = state->context.get();
  BIO_METHOD* method = state->method.get();
  if (context == nullptr || method == nullptr || BIO_meth_set_read(method, read_input) != 1 ||
      BIO_meth_set_write(method, write_output) != 1 || BIO_meth_set_ctrl(method, control) != 1 ||
      BIO_meth_set_create(method, create_bio) != 1 ||
      SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, kSuites) != 1 || SSL_CTX_set_num_tickets(context, 0) != 1 ||
      SSL_CTX_set_max_early_data(context, 0) != 1) {
    return fail(ErrorCode::kInternal, "setting up TLS 1.3: " + openssl_reason());
  }
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_clear_options(context, SSL_OP_ALLOW_NO_DHE_KEX);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  // A server that shows a certificate is refused: nothing is trusted.
  SSL_CTX_set_verify(context, side == TlsSide::kClient ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                     nullptr);
  SSL_CTX_set_app_data(context, state.get());
  if (side == TlsSide::kClient) {
    SSL_CTX_set_psk_use_session_callback(context, State::offer_psk);
  } else {
    SSL_CTX_set_psk_find_session_callback(context, State::find_psk);
  }
  return TlsContext(std::move(state));
}

struct TlsSession::State {
  Buffers buffers;
  Owned<SSL> ssl;
  TlsSide side = TlsSide::kClient;
};

TlsSession::TlsSession(const TlsContext& context) : state_(std::make_unique<State>()) {
  state_->side = context.state_->side;
  state_->ssl.reset(SSL_new(context.state_->context.get()));
  BIO* bio = BIO_new(context.state_->method.get());
  if (!state_->ssl || bio == nullptr) throw std::bad_alloc();
  BIO_set_data(bio, &state_->buffers);
  SSL_set_bio(state_->ssl.get(), bio, bio);
  if (state_->side == TlsSide::kClient) {
    SSL_set_connect_state(state_->ssl.get());
    static_cast<void>(shake());  // the first words; without a peer's nothing can fail
  } else {
    SSL_set_accept_state(state_->ssl.get());
  }
}

TlsSession::~TlsSession() = default;

// Of the keys that a PSK is checked by; a peer tells of it by one of two alerts.
bool is_about_the_token(unsigned long code) {
  switch (ERR_GET_REASON(code)) {
    case SSL_R_BINDER_DOES_NOT_VERIFY:
    case SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER:
    case SSL_R_TLSV1_ALERT_DECRYPT_ERROR: return true;
    default: return false;
  }
}

Failure TlsSession::failed(const std::string& doing) {
  if (!ready_ && is_about_the_token(ERR_peek_error())) {
    ERR_clear_error();
    const bool ours = state_->side == TlsSide::kClient;
    return fail(ErrorCode::kPermission,
                std::string(ours ? "the collector refuses: " : "") + "the run token is another one",
                "both sides need the same --token-file");
  }
  const std::string peer = state_->side == TlsSide::kClient ? "the collector" : "the sender";
  return fail(ErrorCode::kPermission, doing + " with " + peer + " failed: " + openssl_reason(),
              "both sides need tls: in their address, and the same --token-file");
}

Result<> TlsSession::shake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(state_->ssl.get());
  if (result != 1) {
    if (SSL_get_error(state_->ssl.get(), result) == SSL_ERROR_WANT_READ) return {};
    return failed("the TLS handshake");
  }
  if (SSL_session_reused(state_->ssl.get()) != 1) {
    return fail(ErrorCode::kPermission, "the TLS peer has not used the run token",
                "both sides need the same --token-file");
  }
  ready_ = true;
  return {};
}

std::string TlsSession::exporter() const {
  std::string key(kKeySize, '\0');
  if (!ready_ || SSL_export_keying_material(
                     state_->ssl.get(), reinterpret_cast<unsigned char*>(key.data()), key.size(),
                     kExporterLabel.data(), kExporterLabel.size(), nullptr, 0, 0) != 1) {
    throw std::runtime_error("TLS gives no exporter");
  }
  return key;
}

Result<> TlsSession::receive(std::string_view encrypted,
                             const std::function<Result<>(std::string_view)>& plain) {
  state_->buffers.input = encrypted;
  if (!ready_) {
    MUSTER_TRY(shake());
    if (!ready_) return {};
  }
  std::array<char, SSL3_RT_MAX_PLAIN_LENGTH> piece{};
  while (true) {
    ERR_clear_error();
    std::size_t size = 0;
    const int result = SSL_read_ex(state_->ssl.get(), piece.data(), piece.size(), &size);
    if (result == 1) {
      MUSTER_TRY(plain(std::string_view(piece.data(), size)));
      continue;
    }
    const int error = SSL_get_error(state_->ssl.get(), result);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_ZERO_RETURN) return {};
    return failed("the TLS connection");
  }
}

Result<> TlsSession::send(std::string_view plain) {
  while (!plain.empty()) {
    ERR_clear_error();
    std::size_t size = 0;
    if (SSL_write_ex(state_->ssl.get(), plain.data(), plain.size(), &size) != 1) {
      return failed("the TLS connection");
    }
    plain.remove_prefix(size);
  }
  return {};
}

void TlsSession::say_end() {
  ERR_clear_error();
  SSL_shutdown(state_->ssl.get());
  ERR_clear_error();
}

std::string TlsSession::take_output() {
  return std::exchange(state_->buffers.output, {});
}

std::optional<bool> begins_tls(std::string_view bytes) {
  constexpr std::size_t kMostOfHello = 2048;
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
  // A record of the type handshake, in TLS's wording of its version, of a size that fits, that
  // holds a ClientHello.
  if (!bytes.empty() && at(0) != 22) return false;
  if (bytes.size() > 1 && at(1) != 3) return false;
  if (bytes.size() > 2 && at(2) != 1 && at(2) != 3) return false;
  if (bytes.size() < 6) return std::nullopt;
  const std::size_t size = static_cast<std::size_t>(at(3)) << 8 | at(4);
  return size >= 64 && size <= kMostOfHello && at(5) == 1;
}

}  // namespace muster::replication
