package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/seed3893aba4/surestart/producer"
)

// passwordVariable may hold the password. There is no flag for it, because other users can read
// command lines.
const passwordVariable = "SURESTART_PASSWORD"

// connect has the flags for where and how to connect.
type connect struct {
	brokers       string
	tls           bool
	ca, cert, key string
	serverName    string
	sasl          string
	user          string
	passwordFile  string
}

func (s *connect) declare(flags *flag.FlagSet) {
	flags.StringVar(&s.brokers, "brokers", "", "the cluster's addresses: `host:port,...`")
	flags.BoolVar(&s.tls, "tls", false, "connect with TLS")
	flags.StringVar(&s.ca, "tls-ca", "", "trust the certificates in this PEM `file` instead of the system's (implies -tls)")
	flags.StringVar(&s.cert, "tls-cert", "", "the client's certificate, a PEM `file` (implies -tls)")
	flags.StringVar(&s.key, "tls-key", "", "the client's key, a PEM `file`")
	flags.StringVar(&s.serverName, "tls-server-name", "", "the `name` in the brokers' certificate, if it is not their address's (implies -tls)")
	flags.StringVar(&s.sasl, "sasl", "", "authenticate: plain, scram-sha-256 or scram-sha-512")
	flags.StringVar(&s.user, "user", "", "the user to authenticate as")
	flags.StringVar(&s.passwordFile, "password-file", "", "the `file` with the password; default: the variable "+passwordVariable)
}

// config returns a configuration without topics.
func (s *connect) config(getenv func(string) string) (cfg producer.Config, err error) {
	if s.brokers == "" {
		return cfg, usagef("-brokers is missing: want host:port,...; surestart broker runs an embedded broker on 127.0.0.1:9092")
	}
	cfg.ClientID = "surestart"
	if cfg.Brokers, err = brokerList(s.brokers); err != nil {
		return cfg, err
	}
	if cfg.TLS, err = s.tlsConfig(); err != nil {
		return cfg, err
	}
	cfg.SASL, err = s.mechanism(getenv)
	return cfg, err
}

// brokerList returns the addresses in a flag, or an error that names a malformed one.
func brokerList(text string) ([]string, error) {
	brokers := list(text)
	if len(brokers) == 0 {
		return nil, usagef("-brokers %q: want host:port,...", text)
	}
	for _, b := range brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			return nil, usagef("-brokers: %q is not host:port", b)
		}
	}
	return brokers, nil
}

// tlsConfig returns nil unless -tls or a flag that implies it was given.
func (s *connect) tlsConfig() (*tls.Config, error) {
	if (s.cert == "") != (s.key == "") {
		return nil, usagef("-tls-cert and -tls-key belong together")
	}
	if !s.tls && s.ca == "" && s.cert == "" && s.serverName == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.serverName}
	if s.ca != "" {
		pem, err := os.ReadFile(s.ca)
		if err != nil {
			return nil, fmt.Errorf("-tls-ca: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("-tls-ca: %s holds no certificate in PEM", s.ca)
		}
	}
	if s.cert != "" {
		if _, err := s.pair(nil); err != nil {
			return nil, err
		}
		c.GetClientCertificate = s.pair // for every connection
	}
	return c, nil
}

// principal returns the name that the brokers have for the user. It is wrong if they map the
// subjects of certificates to other names.
func (s *connect) principal() string {
	if s.sasl != "" {
		return s.user
	}
	if pair, err := s.pair(nil); s.cert != "" && err == nil {
		return pair.Leaf.Subject.String()
	}
	return "ANONYMOUS"
}

func (s *connect) pair(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.cert, s.key)
	if err != nil {
		return nil, fmt.Errorf("-tls-cert, -tls-key: %w", err)
	}
	return &pair, nil
}

// mechanism returns nil if there is no -sasl.
func (s *connect) mechanism(getenv func(string) string) (sasl.Mechanism, error) {
	if s.sasl == "" {
		if s.user != "" || s.passwordFile != "" {
			return nil, usagef("-user and -password-file need -sasl")
		}
		return nil, nil
	}
	name := strings.ToLower(s.sasl)
	switch name {
	case "plain", "scram-sha-256", "scram-sha-512":
	default:
		return nil, usagef("-sasl %q: want plain, scram-sha-256 or scram-sha-512", s.sasl)
	}
	if s.user == "" {
		return nil, usagef("-sasl needs -user")
	}
	ask := func(context.Context) (user, password string, err error) { // for every connection
		password, err = s.password(getenv)
		return s.user, password, err
	}
	if _, _, err := ask(context.Background()); err != nil {
		return nil, err
	}
	switch name {
	case "plain":
		return producer.PlainFrom(ask), nil
	case "scram-sha-256":
		return producer.ScramFrom(scram.SHA256, ask), nil
	default:
		return producer.ScramFrom(scram.SHA512, ask), nil
	}
}

func (s *connect) password(getenv func(string) string) (string, error) {
	password := getenv(passwordVariable)
	if s.passwordFile != "" {
		text, err := os.ReadFile(s.passwordFile)
		if err != nil {
			return "", fmt.Errorf("-password-file: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	if password == "" {
		return "", usagef("-sasl needs a password: -password-file, or the variable %s", passwordVariable)
	}
	return password, nil
}
