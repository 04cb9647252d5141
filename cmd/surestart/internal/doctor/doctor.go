// Package doctor goes through a producer's start part by part: names, connections, TLS, login,
// metadata, every broker, every leader, the permission to write, the in-sync replicas. It reports
// the result of each part. For a part that fails it also reports the likely cause, and the field
// of producer.Config to check.
//
// doctor.go goes through the parts, replicas.go checks the last one, and cause.go has the causes.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/producer"
)

// Status is the result of one part.
type Status int

const (
	OK Status = iota
	Failed
	Warned  // the producer starts and writes, but one more failure would end that
	Skipped // an earlier part failed, the configuration does not need it, or the brokers do not report it
)

// A Finding is the result of one part of a start.
type Finding struct {
	Part   string // name, connection, TLS, login, metadata, topic, producer id, leaders, permission, replicas
	Status Status
	What   string // what was found, or the error

	// Only for a part that failed or warns.
	Cause string   // the likely cause, and what to do
	Field string   // of producer.Config; empty: the brokers' configuration has to change
	Grant []string // the commands that grant what is missing
}

// An exam is one run of the doctor.
type exam struct {
	cfg     producer.Config
	user    string
	timeout time.Duration
	tell    func(Finding)
	failed  bool
	// ask sends a request to a broker that can be used.
	ask func(context.Context, kafka.Request) (kafka.Response, error)
}

// Examine goes through a start with cfg, which producer.New must accept. user is the name that the
// brokers have for this client. Examine calls tell with each finding, and reports whether no part
// failed. timeout bounds each step.
func Examine(ctx context.Context, cfg producer.Config, user string, timeout time.Duration, tell func(Finding)) bool {
	cfg.Logger = slog.New(slog.DiscardHandler) // the findings have the same facts
	cfg.DialTimeout, cfg.ReadTimeout, cfg.StartTimeout = timeout, timeout, timeout
	x := &exam{cfg: cfg, user: user, timeout: timeout, tell: tell}
	x.start(ctx)
	return !x.failed
}

func (x *exam) ok(part, what string, args ...any) {
	x.tell(Finding{Part: part, What: fmt.Sprintf(what, args...)})
}

func (x *exam) fail(part string, err error, cause, field string) {
	x.failed = true
	x.tell(Finding{Part: part, Status: Failed, What: err.Error(), Cause: cause, Field: field, Grant: x.grants(err)})
}

func (x *exam) warn(part, what, cause string) {
	x.tell(Finding{Part: part, Status: Warned, What: what, Cause: cause})
}

// topics returns the declared topics.
func (x *exam) topics() []string {
	if x.cfg.Topic != "" {
		return []string{x.cfg.Topic}
	}
	return x.cfg.Topics
}

func (x *exam) start(ctx context.Context) {
	var usable []string
	for _, address := range x.cfg.Brokers {
		if x.reach(ctx, address, true) && x.login(ctx, address) {
			usable = append(usable, address)
		}
	}
	if usable == nil {
		x.skip("none of the brokers can be used", slices.Concat([]string{"metadata"}, parts, []string{"replicas"})...)
		return
	}
	transport := &kafka.Transport{TLS: x.cfg.TLS, SASL: x.cfg.SASL, DialTimeout: x.timeout, ClientID: x.cfg.ClientID, MetadataTopics: x.topics()}
	defer transport.CloseIdleConnections()
	x.ask = func(ctx context.Context, req kafka.Request) (kafka.Response, error) {
		ctx, cancel := context.WithTimeout(ctx, x.timeout)
		defer cancel()
		return transport.RoundTrip(ctx, kafka.TCP(usable...), req)
	}
	res := x.metadata(ctx, usable)
	x.whole(ctx, usable)
	x.replicas(ctx, res)
}

// reach checks the name, the connection and TLS of an address. named means that the address is in
// the configuration; otherwise the cluster advertises it.
func (x *exam) reach(ctx context.Context, address string, named bool) bool {
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	fail := func(part string, err error) bool {
		cause, field := x.cause(ctx, address, err)
		if !named {
			cause, field = "the cluster advertises this address: "+cause+"; correct the brokers' advertised.listeners, or the network from here to it", ""
		}
		x.fail(part, fmt.Errorf("%s: %w", address, err), cause, field)
		return false
	}
	host, _, _ := net.SplitHostPort(address)
	if net.ParseIP(host) == nil {
		addrs, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return fail("name", err)
		}
		x.ok("name", "%s is %s", host, strings.Join(addrs, ", "))
	}
	began := time.Now()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return fail("connection", err)
	}
	defer conn.Close()
	x.ok("connection", "%s, in %v", address, time.Since(began).Round(100*time.Microsecond))
	if x.cfg.TLS == nil {
		return true
	}
	secure := tls.Client(conn, x.forHost(host))
	if err := secure.HandshakeContext(ctx); err != nil {
		return fail("TLS", err)
	}
	state := secure.ConnectionState()
	leaf := state.PeerCertificates[0]
	x.ok("TLS", "%s, %s, the certificate of %q is valid until %s", address, tls.VersionName(state.Version), leaf.Subject.CommonName, leaf.NotAfter.Format(time.DateOnly))
	return true
}

func (x *exam) forHost(host string) *tls.Config {
	cfg := x.cfg.TLS.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = host
	}
	return cfg
}

// login starts a producer without topics at one address: it speaks Kafka's protocol, logs in, and
// asks for metadata.
func (x *exam) login(ctx context.Context, address string) bool {
	cfg := x.cfg
	cfg.Brokers, cfg.Topic, cfg.Topics, cfg.AnyTopic = []string{address}, "", nil, true
	cfg.CheckWritePermission, cfg.Idempotence = false, producer.IdempotenceOff
	if err := try(ctx, cfg); err != nil {
		cause, field := x.cause(ctx, address, err)
		x.fail("login", err, cause, field)
		return false
	}
	if cfg.SASL == nil {
		x.ok("login", "%s speaks Kafka's protocol, without a login", address)
	} else {
		x.ok("login", "%s accepts the login by %s", address, cfg.SASL.Name())
	}
	return true
}

// try starts a producer and stops it.
func try(ctx context.Context, cfg producer.Config) error {
	p, err := producer.New(cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	err = p.Start(ctx)
	var start *fsm.StartError
	if errors.As(err, &start) {
		return &failure{start.Part, start.Err}
	}
	return err
}

// A failure is the error of a start, with the part that failed.
type failure struct {
	part string
	error
}

func (f *failure) Unwrap() error { return f.error }

// partOf returns the part of a start that failed, "" if err is not the error of a start.
func partOf(err error) string {
	var failed *failure
	if errors.As(err, &failed) {
		return failed.part
	}
	return ""
}

// metadata asks for the topics and the brokers of the cluster, and checks the brokers' addresses. It
// returns nil if no broker answers.
func (x *exam) metadata(ctx context.Context, usable []string) *metadata.Response {
	answer, err := x.ask(ctx, &metadata.Request{TopicNames: x.topics()})
	if err != nil {
		cause, field := x.cause(ctx, usable[0], err)
		x.fail("metadata", err, cause, field)
		return nil
	}
	res := answer.(*metadata.Response)
	var brokers []string
	for _, b := range res.Brokers {
		brokers = append(brokers, net.JoinHostPort(b.Host, fmt.Sprint(b.Port)))
	}
	slices.Sort(brokers)
	x.ok("metadata", "cluster %s has %s", res.ClusterID, strings.Join(brokers, ", "))
	for _, address := range brokers {
		if !slices.Contains(x.cfg.Brokers, address) {
			x.reach(ctx, address, false)
		}
	}
	return res
}

// whole starts a producer with the configuration as it is, and checks the permission to write.
func (x *exam) whole(ctx context.Context, usable []string) {
	if x.topics() == nil {
		x.skip("no topic is given", parts...)
		return
	}
	cfg := x.cfg
	cfg.Brokers, cfg.CheckWritePermission = usable, true
	err := try(ctx, cfg)
	var failed *failure
	if errors.As(err, &failed) && failed.part == "metadata" {
		failed.part = "topic" // the metadata themselves are there: see login
	}
	for i, part := range parts {
		if err == nil || failed != nil && i < slices.Index(parts, failed.part) {
			x.ok(part, "%s", found[part])
			continue
		}
		cause, field := x.cause(ctx, "", err)
		x.fail(part, err, cause, field)
		x.skip("the "+part+" failed", parts[i+1:]...)
		return
	}
}

// The parts of the start of a producer with topics, and the finding if a part is in order.
var (
	parts = []string{"topic", "producer id", "leaders", "permission"}
	found = map[string]string{
		"topic":       "each exists",
		"producer id": "the cluster gives one for idempotent writes",
		"leaders":     "the leader of each partition is connected",
		"permission":  "the user may write to each topic",
	}
)

func (x *exam) skip(why string, parts ...string) {
	for _, part := range parts {
		x.tell(Finding{Part: part, Status: Skipped, What: "not checked: " + why})
	}
}
