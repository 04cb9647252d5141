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

// Config configures a Producer. Brokers is required, and one of Topic, Topics and AnyTopic. The
// zero value of every other field is a safe default. New copies the Config.
//
// The functions of a Config may call the methods of the producer that do not wait, such as Stats and
// Status. In Balancer, Completion, Dial, the functions of TLS and SASL, Retry and Breaker, the methods
// Stop, Shutdown, Close and Flush return fsm.ErrReentrant (G15), because they would wait for that
// function. So do Start and Hold unless the producer is started, and WriteMessages and Send in
// Balancer. Call them in another goroutine, and do not wait for that one. The methods of Dial's
// connections, of contexts and of kafka-go's Balancers are not recognized: a Stop there waits until
// its context ends.
//
// Printing or logging a Config shows no password, key or certificate. One exception: fmt ignores
// the methods of a Config in an unexported field of another type. There, use PlainFrom and
// ScramFrom, which hold no secret.
type Config struct {
	// Brokers are addresses, host:port, of some brokers of the cluster. Start tries them until one
	// answers, and learns the others from it.
	Brokers []string
	// ClientID identifies this client in the brokers' logs and quotas.
	ClientID string

	// Topic is the topic of messages that name none.
	Topic string
	// Topics are more topics that messages may name. Start checks every declared topic. A write
	// that names another topic fails as a whole with a *TopicError.
	Topics []string
	// AnyTopic allows messages to name any topic. The first write to a topic waits for its
	// metadata, until the write's context ends or the DeliveryTimeout passes; messages of the same
	// call for known topics are sent at once. If a topic does not exist, only its own messages
	// fail; the producer asks the cluster for it again after 100 ms, doubling to 5 s. The metadata
	// of a topic without a write for five minutes are no longer refreshed, until the next write.
	AnyTopic bool

	// TLS encrypts the connections; nil: no encryption. The minimum version is TLS 1.2. The
	// system's roots are trusted unless RootCAs is set. Each connect calls its functions, such as
	// GetClientCertificate, so a certificate can be rotated while the producer runs.
	TLS *tls.Config
	// SASL authenticates the client; nil: no authentication. Each connect starts the mechanism.
	// PlainFrom and ScramFrom fetch the password at every connect; kafka-go's mechanisms keep one.
	// While the producer runs, a refused login is tried again after 10 ms, doubling to about 8 s,
	// until it succeeds.
	SASL sasl.Mechanism
	// AllowPlaintextPassword allows SASL PLAIN and OAUTHBEARER without TLS to brokers on other
	// machines. The network can then read the password.
	AllowPlaintextPassword bool
	// Dial opens the network connections; nil: a net.Dialer. It must return soon after its context
	// ends. A panic or a runtime.Goexit in Dial counts as an error of that connect; in a method of a
	// connection it counts as the end of that connection. A connection's Write must return the
	// number of bytes written also when it fails: a request that was written whole may be in
	// the log.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Acks is which replicas must acknowledge a message. Default AcksAll.
	Acks Acks
	// Idempotence puts each message into the log at most once and in order (D3, D4). Default: on
	// with AcksAll. It needs a producer id, which the cluster may refuse: see ErrNoIdempotence.
	Idempotence Idempotence

	// Linger is how long the first message of a batch waits for more messages. It applies only
	// while no request to the partition is in flight. Default 0: send at once. Messages that arrive
	// during a request share the next one in any case. Stop and Flush end the wait. No message
	// lingers while a call waits for room (MaxInFlightBytes).
	//
	// Raise it when batches stay small at a high rate and cost the brokers too many requests. Lower
	// it when a lone write takes too long.
	Linger time.Duration
	// BatchSize limits the messages of a batch. Default 10,000. Raise it when tiny messages reach
	// it before BatchBytes. Lower it when one lost answer must not put so many messages in doubt.
	BatchSize int
	// BatchBytes limits the bytes of a batch, and of a single message. Default 1 MiB. If a topic
	// allows less (max.message.bytes), the broker refuses larger batches, and the producer sends
	// them again in halves.
	//
	// Raise it, together with the topic's limit, when a message is larger or batches are full. Lower
	// it to the topic's limit when that is less.
	BatchBytes int64
	// MaxInFlightBytes limits the memory of messages without a verdict: their bytes, encoded and
	// compressed, and at least 64 for each message. A write waits for room until its context ends
	// or the DeliveryTimeout passes. A call that needs more than the limit waits until nothing else
	// is in flight. Default 64 MiB.
	//
	// When several partitions are in use, a partition that already holds room gets more only while
	// it holds no more than the room that is free. One partition that cannot be written to thus
	// leaves half of the room to the others; two leave a third. A call that waits for its
	// partition's share delays only calls to the same partition.
	//
	// Raise it when calls wait for room (Counters.Waiting) although the brokers are fast enough, or
	// when writes have to continue through a longer outage. Lower it when the process has less
	// memory.
	MaxInFlightBytes int64
	// MaxAttempts limits how often a batch is sent. Default: no limit within the DeliveryTimeout,
	// which is usually the better limit. Set it when an early error is worth more than a late
	// success.
	MaxAttempts int

	// Compression is the codec of the batches. Default none. A batch that does not become smaller
	// is sent uncompressed; so is a batch of 64 KiB or more if its first 16 KiB do not become
	// smaller. Use a codec when the network or the brokers' disk is the limit: Snappy if processor
	// time is scarce, Zstd if bandwidth or disk space is.
	Compression kafka.Compression
	// Balancer chooses the partition of each message. It is called concurrently. Default: a message
	// with a key goes to the same partition as with the Java client (murmur2). Messages without a
	// key go to one partition until its batch is sent, then to the next. They avoid partitions
	// whose leader is not connected, whose last attempt failed, or that hold their share of
	// MaxInFlightBytes, unless that is true of all. If the Balancer panics or chooses a partition
	// that does not exist, only that message fails, at once, as ErrNotSent; Temporary is false.
	Balancer kafka.Balancer

	// DialTimeout bounds a connect: TCP, TLS, API versions and SASL. Default 5 s. Raise it when
	// brokers are far away or their logins slow. Lower it when addresses that never answer delay a
	// start.
	DialTimeout time.Duration
	// ReadTimeout bounds a request for information, such as Ping's. Default 10 s. Raise it when busy
	// brokers answer later. Lower it when a frozen broker should be noticed sooner.
	ReadTimeout time.Duration
	// WriteTimeout bounds one attempt to send a batch. Default 10 s. Raise it when attempts time out
	// that slow replicas would have acknowledged. Lower it, well below DeliveryTimeout, when a frozen
	// broker should be given up sooner.
	WriteTimeout time.Duration
	// DeliveryTimeout bounds a write from the call to its verdicts (D6). Default 30 s. Raise it when
	// elections or restarts of brokers outlast it; the brokers' producer.id.expiration.ms has to
	// stay longer. Lower it when callers cannot wait so long.
	DeliveryTimeout time.Duration
	// ConnectionsPerBroker is the number of connections to each broker that leads a partition in
	// use. Each carries one request at a time. Default 2. One more connection serves metadata.
	// While an expiring login is renewed, the old connection and the new one are open together.
	//
	// Raise it when a broker is far away and leads many partitions that you write to. Lower it when
	// the brokers have too many connections.
	ConnectionsPerBroker int
	// IdleTimeout is how long the connections stay open to a broker that no longer leads a
	// partition in use. Default 9 minutes. All other connections are kept alive. Raise it when
	// leaders move back and forth. Lower it when the brokers have too many connections.
	IdleTimeout time.Duration
	// StartTimeout bounds an attempt to start. Default 30 s. Raise it when the cluster may still be
	// coming up, together with Retry. Lower it when a failed start should be reported sooner.
	StartTimeout time.Duration
	// StopTimeout bounds Close, including the forced release. Default 20 s, which fits into
	// Kubernetes' default grace period of 30 s. Raise it, and that period, when a StopError counts
	// messages that were cut off. Lower it when the period is shorter.
	StopTimeout time.Duration

	// AllowPartial lets Start succeed while some partitions have no leader, or a leader that cannot
	// be reached, if at least one partition can be written to. If a leader does not answer
	// CheckWritePermission, Start tries another leader of the topic.
	AllowPartial bool
	// CheckWritePermission makes Start check the permission to write to each declared topic. It
	// writes nothing.
	CheckWritePermission bool
	// StartOnWrite makes a write start a producer that was never stopped.
	StartOnWrite bool
	// AllowAutoTopicCreation asks the brokers to create missing topics. A topic that is still
	// missing after about 6 s counts as unknown: Kafka does not report whether its
	// auto.create.topics.enable is off.
	AllowAutoTopicCreation bool

	// Retry makes a failing Start try again, within its StartTimeout, if Temporary reports true for
	// the error. A refused connection and a missing topic are temporary; a wrong password is not.
	// Everything is closed before each pause. If the next pause would end after the StartTimeout,
	// Start fails at once with the last error. Package resilience provides a Retry; producers must
	// not share it. nil: one try.
	Retry fsm.Backoff
	// Breaker refuses attempts for a while after many have failed, so that Start fails at once
	// instead of after its timeout. Package resilience provides a Breaker; producers of the same
	// cluster may share it. nil: no refusals.
	Breaker fsm.Breaker

	// Completion is called with the verdict of every admitted message, once: nil, or an error that
	// is exactly one of ErrNotSent, ErrMaybeDelivered and ErrRejected. The messages of a call have
	// Topic, Partition, Offset (-1 if unknown), Key, Value, Headers, Time and the caller's
	// WriterData. The slice and its bytes are copies, valid until Completion returns.
	//
	// Completion is called before the write returns, unless the message was withdrawn. The write
	// waits for Completion until the write's context ends or the DeliveryTimeout passes. Completion
	// delays everything else for the same broker, so it should be quick. A panic or a runtime.Goexit
	// in it is logged, and changes no verdict.
	//
	// Do not call WriteMessages, Send, Ping or a Delivery's Wait in Completion: they may wait for it
	// to return, until their deadline. Call them in another goroutine.
	Completion func([]kafka.Message, error)
	// Logger receives the warnings that no caller gets as an error. Default slog.Default().
	Logger *slog.Logger
	// Lifecycle are more options for the lifecycle, such as observers. They are applied after the
	// options that the other fields set. fsm.WithStopTimeout has no effect: StopTimeout bounds Close.
	Lifecycle []fsm.Option

	record record.Hook
}

func init() { record.Into = func(config any, h record.Hook) { config.(*Config).record = h } }

// Acks is which replicas must acknowledge a message before it counts as delivered.
type Acks int8

const (
	// AcksAll: every in-sync replica. The default.
	AcksAll Acks = iota
	// AcksOne: the leader of the partition.
	AcksOne
	// AcksNone: none. A message counts as delivered once it is written to the network. Later losses
	// and refusals go unnoticed.
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

// Idempotence is whether each message is in the log at most once and in order, also when requests
// or answers are lost.
type Idempotence int8

const (
	// IdempotenceAuto: on with AcksAll, off with other Acks. The default.
	IdempotenceAuto Idempotence = iota
	// IdempotenceOn: New refuses Acks other than AcksAll.
	IdempotenceOn
	// IdempotenceOff: a message may be in the log more than once, and out of order. For clusters
	// that do not give this user a producer id.
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

// withDefaults returns a copy with every default filled in.
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

// String describes the Config without its secrets.
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

// Format is String for every verb, because %+v and %#v would print the password in a mechanism.
func (c Config) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.String()) }

// LogValue is String, for slog.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }
