#include "ops/lend/ssh_key.hpp"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kRsa = "ssh-rsa";
constexpr std::string_view kEd25519 = "ssh-ed25519";
constexpr std::string_view kOpensshName = "OPENSSH PRIVATE KEY";
constexpr std::string_view kOpensshMagic{"openssh-key-v1\0", 15};
constexpr std::size_t kEd25519Bytes = 32;
constexpr unsigned char kSignBit = 0x80;

struct Curve {
  std::string_view type;
  std::string_view name;          ///< SSH's.
  const char* group;              ///< OpenSSL's.
  const EVP_MD* (*digest)();
};
constexpr std::array<Curve, 3> kCurves{{{"ecdsa-sha2-nistp256", "nistp256", "prime256v1", EVP_sha256},
                                        {"ecdsa-sha2-nistp384", "nistp384", "secp384r1", EVP_sha384},
                                        {"ecdsa-sha2-nistp521", "nistp521", "secp521r1", EVP_sha512}}};

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Number = std::unique_ptr<BIGNUM, Freed<BN_clear_free>>;
using Memory = std::unique_ptr<BIO, Freed<BIO_free>>;
using Builder = std::unique_ptr<OSSL_PARAM_BLD, Freed<OSSL_PARAM_BLD_free>>;
using Params = std::unique_ptr<OSSL_PARAM, Freed<OSSL_PARAM_free>>;
using KeyContext = std::unique_ptr<EVP_PKEY_CTX, Freed<EVP_PKEY_CTX_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using EcSignature = std::unique_ptr<ECDSA_SIG, Freed<ECDSA_SIG_free>>;

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

const Curve* find_curve(std::string_view type) {
  auto const found = std::find_if(kCurves.begin(), kCurves.end(),
                                  [type](const Curve& curve) { return curve.type == type; });
  return found == kCurves.end() ? nullptr : &*found;
}

Number to_number(std::string_view bytes) {
  return Number(BN_bin2bn(bytes_of(bytes), static_cast<int>(bytes.size()), nullptr));
}

/// As SSH writes positive numbers: no leading zeros but one where the sign would be.
void append_wire_integer(std::string& out, const BIGNUM* number) {
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  if (!bytes.empty() && (static_cast<unsigned char>(bytes[0]) & kSignBit) != 0) bytes.insert(0, 1, '\0');
  append_wire_string(out, bytes);
}

Key make_key(const char* algorithm, OSSL_PARAM_BLD* builder) {
  Params const params(OSSL_PARAM_BLD_to_param(builder));
  KeyContext const context(EVP_PKEY_CTX_new_from_name(nullptr, algorithm, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_KEYPAIR, params.get()) != 1) {
    return nullptr;
  }
  return Key(key);
}

/// The private section of OpenSSH's own format, after its type. Null when it is malformed.
Key read_rsa(WireReader& reader) {
  auto const n = reader.take_string();
  auto const e = reader.take_string();
  auto const d = reader.take_string();
  if (!n || !e || !d) return nullptr;
  Number const modulus = to_number(*n);
  Number const exponent = to_number(*e);
  Number const secret = to_number(*d);
  Builder const builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, modulus.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, exponent.get());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_D, secret.get());
  return make_key("RSA", builder.get());
}

Key read_ecdsa(WireReader& reader, const Curve& curve) {
  auto const name = reader.take_string();
  auto const point = reader.take_string();
  auto const d = reader.take_string();
  if (!name || !point || !d || *name != curve.name || point->empty()) return nullptr;
  Number const secret = to_number(*d);
  Builder const builder(OSSL_PARAM_BLD_new());
  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, curve.group, 0);
  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point->data(), point->size());
  OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret.get());
  return make_key("EC", builder.get());
}

Key read_ed25519(WireReader& reader) {
  auto const open = reader.take_string();
  auto const secret = reader.take_string();
  if (!open || !secret || secret->size() < kEd25519Bytes) return nullptr;
  return Key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(*secret), kEd25519Bytes));
}

[[noreturn]] void fail_locked(const std::string& what) {
  throw Error(ErrorKind::kUnsupported,
              what + " has a passphrase, which cannot be asked for: add the key to an ssh-agent, and "
                     "lend that with --ssh default");
}

/// Null when it is malformed or of a kind that is not known.
Key read_openssh(std::string_view bytes, const std::string& what) {
  if (!bytes.starts_with(kOpensshMagic)) return nullptr;
  WireReader reader(bytes.substr(kOpensshMagic.size()));
  auto const cipher = reader.take_string();
  if (cipher && *cipher != "none") fail_locked(what);
  reader.take_string();  // How the passphrase becomes a key, and
  reader.take_string();  // its options.
  auto const count = reader.take_number();
  auto const public_key = reader.take_string();
  auto const secret = reader.take_string();
  if (!cipher || count != 1U || !public_key || !secret) return nullptr;
  WireReader inner(*secret);
  auto const check = inner.take_number();
  auto const again = inner.take_number();
  auto const type = inner.take_string();
  if (!check || check != again || !type) return nullptr;
  if (*type == kRsa) return read_rsa(inner);
  if (*type == kEd25519) return read_ed25519(inner);
  const Curve* const curve = find_curve(*type);
  return curve != nullptr ? read_ecdsa(inner, *curve) : nullptr;
}

/// One section of a PEM file. What it holds is wiped when it goes.
struct PemSection {
  PemSection() = default;
  PemSection(const PemSection&) = delete;
  PemSection& operator=(const PemSection&) = delete;
  ~PemSection() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;
};

Key read_key(std::string_view text, const std::string& what) {
  Memory const memory(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  PemSection section;
  do {  // Parameters of a curve may come first.
    OPENSSL_free(std::exchange(section.name, nullptr));
    OPENSSL_free(std::exchange(section.header, nullptr));
    OPENSSL_clear_free(std::exchange(section.data, nullptr), static_cast<std::size_t>(section.size));
    section.size = 0;
    if (PEM_read_bio(memory.get(), &section.name, &section.header, &section.data, &section.size) != 1) {
      throw Error(ErrorKind::kInvalidInput, what + " is neither a socket nor a private key");
    }
  } while (std::string_view(section.name) == "EC PARAMETERS");
  std::string_view const name = section.name;
  bool const is_locked = name == "ENCRYPTED PRIVATE KEY" ||
                         std::string_view(section.header).find("ENCRYPTED") != std::string_view::npos;
  if (is_locked) fail_locked(what);
  auto const size = static_cast<std::size_t>(section.size);
  if (name == kOpensshName) {
    return read_openssh({reinterpret_cast<const char*>(section.data), size}, what);
  }
  const unsigned char* data = section.data;
  return Key(d2i_AutoPrivateKey(nullptr, &data, section.size));
}

Number integer_of(const EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EVP_PKEY_get_bn_param(key, name, &number);
  return Number(number);
}

/// "" for kinds that SSH does not have.
std::string type_of(const EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: return std::string(kRsa);
    case EVP_PKEY_ED25519: return std::string(kEd25519);
    case EVP_PKEY_EC: break;
    default: return "";
  }
  std::array<char, 64> group{};
  if (EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) != 1) return "";
  for (const Curve& curve : kCurves) {
    if (std::string_view(group.data()) == curve.group) return std::string(curve.type);
  }
  return "";
}

std::string encode_public(EVP_PKEY* key, const std::string& type) {
  std::string out;
  append_wire_string(out, type);
  if (type == kRsa) {
    append_wire_integer(out, integer_of(key, OSSL_PKEY_PARAM_RSA_E).get());
    append_wire_integer(out, integer_of(key, OSSL_PKEY_PARAM_RSA_N).get());
    return out;
  }
  if (const Curve* const curve = find_curve(type)) append_wire_string(out, curve->name);
  if (type == kEd25519) {
    std::array<unsigned char, kEd25519Bytes> raw{};
    std::size_t size = raw.size();
    EVP_PKEY_get_raw_public_key(key, raw.data(), &size);
    append_wire_string(out, {reinterpret_cast<const char*>(raw.data()), size});
    return out;
  }
  unsigned char* bytes = nullptr;
  std::size_t const size = EVP_PKEY_get1_encoded_public_key(key, &bytes);
  append_wire_string(out, {reinterpret_cast<const char*>(bytes), size});
  OPENSSL_free(bytes);
  return out;
}

std::optional<std::string> sign_bytes(EVP_PKEY* key, const EVP_MD* digest, std::string_view data) {
  DigestContext const context(EVP_MD_CTX_new());
  if (EVP_DigestSignInit(context.get(), nullptr, digest, nullptr, key) != 1) return std::nullopt;
  std::size_t size = 0;
  if (EVP_DigestSign(context.get(), nullptr, &size, bytes_of(data), data.size()) != 1) return std::nullopt;
  std::string signature(size, '\0');
  auto* const out = reinterpret_cast<unsigned char*>(signature.data());
  if (EVP_DigestSign(context.get(), out, &size, bytes_of(data), data.size()) != 1) return std::nullopt;
  signature.resize(size);
  return signature;
}

/// From ASN.1 to the two numbers of SSH.
std::optional<std::string> to_wire_signature(std::string_view asn1) {
  const unsigned char* bytes = bytes_of(asn1);
  EcSignature const signature(d2i_ECDSA_SIG(nullptr, &bytes, static_cast<long>(asn1.size())));
  if (!signature) return std::nullopt;
  std::string out;
  append_wire_integer(out, ECDSA_SIG_get0_r(signature.get()));
  append_wire_integer(out, ECDSA_SIG_get0_s(signature.get()));
  return out;
}

}  // namespace

SshKey SshKey::parse(std::string_view text, const std::string& what) {
  Key key = read_key(text.substr(0, kSshKeyBytes_max), what);
  ERR_clear_error();
  SshKey out;
  if (key) out.type_ = type_of(key.get());
  if (out.type_.empty()) {
    throw Error(ErrorKind::kUnsupported,
                what + " is damaged, or of a kind that is not known: use RSA, ECDSA or Ed25519");
  }
  out.public_key_ = encode_public(key.get(), out.type_);
  out.key_ = std::move(key);
  return out;
}

std::optional<std::string> SshKey::sign(const SignRequest& request) const {
  std::string type = type_;
  const EVP_MD* digest = nullptr;  // Ed25519 has its own.
  const Curve* const curve = find_curve(type_);
  if (curve != nullptr) {
    digest = curve->digest();
  } else if (type_ == kRsa && (request.flags & SignRequest::kRsaSha512) != 0) {
    type = "rsa-sha2-512";
    digest = EVP_sha512();
  } else if (type_ == kRsa && (request.flags & SignRequest::kRsaSha256) != 0) {
    type = "rsa-sha2-256";
    digest = EVP_sha256();
  } else if (type_ == kRsa) {
    digest = EVP_sha1();
  }
  auto signature = sign_bytes(key_.get(), digest, request.data);
  if (signature && curve != nullptr) signature = to_wire_signature(*signature);
  ERR_clear_error();
  if (!signature) return std::nullopt;
  std::string out;
  append_wire_string(out, type);
  append_wire_string(out, *signature);
  return out;
}

}  // namespace cobuild::ops
