package producer

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/record"
)

// Config is what a Producer is made of. Brokers and one of Topic, Topics and
// AnyTopic are required; every other zero value is a safe default. New copies it.
//
// No password, key or certificate appears when a Config is printed or logged. (Of a
// Config in an unexported field of yours fmt prints everything, without asking: what
// PlainFrom and ScramFrom return holds no secret to be printed.)
type Config struct {
	// Brokers are the addresses, host:port, to learn the cluster from. A Start asks one
	// after the other, in any order, until a broker answers.
	Brokers []string
	// ClientID is how the brokers know this client in their logs and quotas.
	ClientID string

	// Topic is where messages go that name none.
	Topic string
	// Topics are further topics that a message may name. Start proves every
	// declared topic; a write that names another one fails as a whole (*TopicError).
	Topics []string
	// AnyTopic lets messages name any topic; it is proved on its first use. A write waits for the answer
	// under its context and the DeliveryTimeout. A topic that does not exist fails its own messages,
	// and is not asked for again for 100 ms, doubling to 5 s. Topics that were not written to for five
	// minutes are not asked for any more, until the next write.
	AnyTopic bool

	// TLS is how to connect; nil: without encryption. TLS 1.2 is the least, and the
	// system's roots are trusted unless RootCAs says otherwise. Its functions, such
	// as GetClientCertificate, are called at every connect: so a certificate can be
	// rotated under a running producer.
	TLS *tls.Config
	// SASL is how to authenticate; nil: not at all. PlainFrom and ScramFrom ask for
	// the password at every connect; those of kafka-go keep one. A mechanism of your
	// own, such as OAUTHBEARER, is started at every connect. While the producer runs, a login that is
	// refused is tried again after 10 ms, then after twice as long, up to every 8 s or so, until it succeeds.
	SASL sasl.Mechanism
	// AllowPlaintextPassword allows SASL PLAIN and OAUTHBEARER without TLS to a broker
	// that is not on this machine: whoever listens on the way reads the password.
	AllowPlaintextPassword bool
	// Dial replaces the dialing of connections. It must return soon after its context ends. A
	// panic in it, and a runtime.Goexit, is an error of that connect. The Write of its connections
	// returns how many bytes it has written also if it fails: a request that was written as a
	// whole may be in the log, one that was not is not.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Acks is which replicas must acknowledge a message before it counts as delivered.
	// Default AcksAll.
	Acks Acks
	// Idempotence is whether each message is in the log once, and in order (D3, D4). Default:
	// with AcksAll it is. It takes a producer id, which the cluster may refuse: see
	// ErrNoIdempotence.
	Idempotence Idempotence

	// Linger is how long a message waits for others to share a request, if none is under
	// way to its partition; the first of a batch counts. Default: not at all. What comes while a request
	// is under way shares the next one anyway, and what others write at that moment this one. A Stop,
	// and Flush, send at once what lingers. While calls wait for room (MaxInFlightBytes) nothing lingers.
	Linger time.Duration
	// BatchSize is how many messages make a batch full. Default 10,000.
	BatchSize int
	// BatchBytes is how many bytes do, and the largest message. Default 1 MiB. Where a
	// topic allows less (max.message.bytes), a batch that is larger is sent in halves
	// after a broker has refused it, which takes as many more requests.
	BatchBytes int64
	// MaxInFlightBytes bounds the memory of the messages that have no verdict yet:
	// their bytes as they are encoded and compressed, and 64 and more for each message. A write waits,
	// under its context, until there is room. A call that is larger than that waits until it
	// is alone. Default 64 MiB.
	//
	// A partition that has messages in flight gets room for more only as long as it then holds no
	// more than what is left. So a partition that nothing can be sent to leaves half of the room to
	// the others, two leave a third; a call that waits for that holds up only calls to the same
	// partition. It does not apply as long as one partition alone is in use.
	MaxInFlightBytes int64
	// MaxAttempts is how often a batch is sent at most. Default: as often as the
	// DeliveryTimeout permits.
	MaxAttempts int

	// Compression of the batches. Default none.
	Compression kafka.Compression
	// Balancer chooses the partitions. Default: a message with a key goes where the
	// Java client puts it (murmur2). Others go to one partition until its batch is under way, and
	// then to the next that has a leader. Partitions whose leader is not connected, to which the last
	// attempt has failed, or that hold their share of MaxInFlightBytes, get them only if all are like that. A message for which the Balancer panics, or chooses a
	// partition that is not there, fails alone and at once: ErrNotSent, and final. The Balancer is
	// called concurrently.
	Balancer kafka.Balancer

	// DialTimeout bounds a connect: TCP, TLS, API versions and SASL. Default 5 s.
	DialTimeout time.Duration
	// ReadTimeout bounds a request for information, such as Ping's. Default 10 s.
	ReadTimeout time.Duration
	// WriteTimeout bounds one attempt to send a batch. Default 10 s.
	WriteTimeout time.Duration
	// DeliveryTimeout bounds a write from call to verdict, whatever it meets (D6). Default 30 s.
	DeliveryTimeout time.Duration
	// ConnectionsPerBroker is how many connections there are to each broker that leads a partition
	// in use: as many requests can be under way there. Default 2. There is one more for metadata.
	ConnectionsPerBroker int
	// IdleTimeout is for how long the connections to a broker are kept that leads no partition in
	// use any more. Default 9 minutes. All others are kept alive, however long they are idle.
	IdleTimeout time.Duration
	// StartTimeout bounds an attempt to start. Default 30 s.
	StartTimeout time.Duration
	// StopTimeout bounds Close, the forced release included. Default 20 s: it fits
	// into Kubernetes' 30.
	StopTimeout time.Duration

	// AllowPartial starts although partitions have no leader, as long as one has.
	AllowPartial bool
	// CheckWritePermission makes Start prove that the topics may be written to,
	// without writing.
	CheckWritePermission bool
	// StartOnWrite makes a write start a producer that was never stopped.
	StartOnWrite bool
	// AllowAutoTopicCreation asks the brokers to create topics that do not exist. A topic that is
	// not there some 6 s after they were asked first is unknown: Kafka does not say whether its
	// auto.create.topics.enable is off.
	AllowAutoTopicCreation bool

	// Retry makes a Start that fails try again, inside the attempt and within its
	// StartTimeout, if what it met is Temporary: a refused connection is, and a topic that
	// does not exist yet; a wrong password is final. Everything is closed before each
	// pause. A pause that would outlast the StartTimeout is not begun: the Start fails at
	// once, with what it met last. Package resilience has one; it must be this
	// producer's alone. nil: one try.
	Retry fsm.Backoff
	// Breaker refuses attempts to start for a while after many have failed, so that a
	// Start fails at once rather than after its timeouts. Package resilience has one;
	// producers of the same cluster may share it. nil: every Start tries.
	Breaker fsm.Breaker

	// Completion is told the verdict of every message that was admitted, once: nil, or an error
	// that is one of ErrNotSent, ErrMaybeDelivered and ErrRejected. The messages of a call have
	// Topic, Partition, Offset (-1: not known), Key, Value, Headers, Time and the caller's WriterData;
	// the slice and all bytes in it are copies, valid until Completion returns. It is called before the write concerned returns,
	// unless that write was withdrawn, and holds up what goes to the same broker, so it
	// should be quick; it must not wait for Stop, Shutdown or Close. A panic in it is logged, and so is
	// a runtime.Goexit, as t.FailNow calls it: the messages keep their verdict.
	Completion func([]kafka.Message, error)
	// Logger gets what no caller would otherwise learn of. Default slog.Default.
	Logger *slog.Logger
	// Lifecycle are options for the lifecycle: observers, for example. They come
	// after those that the other fields make; StopTimeout alone is what bounds Close.
	Lifecycle []fsm.Option

	record record.Hook
}

func init() { record.Into = func(config any, h record.Hook) { config.(*Config).record = h } }

// Acks is which replicas must acknowledge a message before it counts as delivered.
type Acks int8

const (
	// AcksAll: every replica that is in sync. The default.
	AcksAll Acks = iota
	// AcksOne: the leader of the partition.
	AcksOne
	// AcksNone: none. A message counts as delivered when it was handed to the
	// network; what is refused or lost after that is not noticed.
	AcksNone
)

// String returns all, one or none.
func (a Acks) String() string {
	switch a {
	case AcksAll, AcksOne, AcksNone:
		return [...]string{"all", "one", "none"}[a]
	}
	return fmt.Sprintf("Acks(%d)", int8(a))
}

// Idempotence is whether a message is in the log at most once, and in order, whatever is lost.
type Idempotence int8

const (
	// IdempotenceAuto: with AcksAll it is on; with other Acks it cannot be. The default.
	IdempotenceAuto Idempotence = iota
	// IdempotenceOn: New refuses Acks with which it cannot be.
	IdempotenceOn
	// IdempotenceOff: at least once, and in no certain order. For clusters that cannot give a
	// producer id, or do not allow it to this user.
	IdempotenceOff
)

// String returns auto, on or off.
func (i Idempotence) String() string {
	switch i {
	case IdempotenceAuto, IdempotenceOn, IdempotenceOff:
		return [...]string{"auto", "on", "off"}[i]
	}
	return fmt.Sprintf("Idempotence(%d)", int8(i))
}

func (a Acks) required() kafka.RequiredAcks {
	return [...]kafka.RequiredAcks{kafka.RequireAll, kafka.RequireOne, kafka.RequireNone}[a]
}

// withDefaults returns a copy in which every value that has a default is set.
func (c Config) withDefaults() Config {
	c.Brokers = append([]string(nil), c.Brokers...)
	c.Topics = append([]string(nil), c.Topics...)
	c.Lifecycle = append([]fsm.Option(nil), c.Lifecycle...)
	if c.TLS != nil {
		c.TLS = c.TLS.Clone()
		c.TLS.MinVersion = max(c.TLS.MinVersion, tls.VersionTLS12)
	}
	if m := c.SASL; m != nil {
		c.SASL = sealed(func() sasl.Mechanism { return m })
	}
	orDefault(&c.BatchSize, 10_000)
	orDefault(&c.BatchBytes, 1<<20)
	orDefault(&c.MaxInFlightBytes, 64<<20)
	orDefault(&c.ConnectionsPerBroker, 2)
	orDefault(&c.DialTimeout, 5*time.Second)
	orDefault(&c.ReadTimeout, 10*time.Second)
	orDefault(&c.WriteTimeout, 10*time.Second)
	orDefault(&c.DeliveryTimeout, 30*time.Second)
	orDefault(&c.IdleTimeout, 9*time.Minute)
	orDefault(&c.StartTimeout, 30*time.Second)
	orDefault(&c.StopTimeout, 20*time.Second)
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func orDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// declared returns Topic and Topics, each once.
func (c *Config) declared() []string {
	var topics []string
	seen := make(map[string]bool)
	for _, t := range append([]string{c.Topic}, c.Topics...) {
		if t != "" && !seen[t] {
			seen[t] = true
			topics = append(topics, t)
		}
	}
	return topics
}

// String says what can be said of a Config without telling a secret.
func (c Config) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "producer.Config{Brokers: %q, ClientID: %q, Topic: %q, Topics: %q, AnyTopic: %t, Acks: %s, Idempotence: %s",
		c.Brokers, c.ClientID, c.Topic, c.Topics, c.AnyTopic, c.Acks, c.Idempotence)
	fmt.Fprintf(&b, ", TLS: %t, SASL: %s, AllowPlaintextPassword: %t", c.TLS != nil, c.mechanism(), c.AllowPlaintextPassword)
	fmt.Fprintf(&b, ", Linger: %v, BatchSize: %d, BatchBytes: %d, MaxInFlightBytes: %d, MaxAttempts: %d, Compression: %v",
		c.Linger, c.BatchSize, c.BatchBytes, c.MaxInFlightBytes, c.MaxAttempts, c.Compression)
	fmt.Fprintf(&b, ", ConnectionsPerBroker: %d", c.ConnectionsPerBroker)
	fmt.Fprintf(&b, ", DialTimeout: %v, ReadTimeout: %v, WriteTimeout: %v, DeliveryTimeout: %v, IdleTimeout: %v, StartTimeout: %v, StopTimeout: %v",
		c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.DeliveryTimeout, c.IdleTimeout, c.StartTimeout, c.StopTimeout)
	fmt.Fprintf(&b, ", AllowPartial: %t, CheckWritePermission: %t, StartOnWrite: %t, AllowAutoTopicCreation: %t, Retry: %t, Breaker: %t}",
		c.AllowPartial, c.CheckWritePermission, c.StartOnWrite, c.AllowAutoTopicCreation, c.Retry != nil, c.Breaker != nil)
	return b.String()
}

func (c Config) mechanism() string {
	if c.SASL == nil {
		return "none"
	}
	return c.SASL.Name()
}

// Format is String for every verb: %+v and %#v must not print the password that
// a mechanism holds.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
