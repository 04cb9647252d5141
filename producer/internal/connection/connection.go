// Package connection opens connections to Kafka brokers and exchanges requests and answers
// on them, one at a time.
//
// It does not trust the other end. An answer is read completely, up to maxAnswer bytes, into
// memory that grows with the bytes received. Its correlation id must be that of the request
// under way. Before kafka-go decodes an answer, package shape checks that every array
// has the elements that it claims.
//
// A failed exchange reports whether its request was written whole. A broker ignores a
// request that was not.
package connection

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/sasl"

	"github.com/seed3893aba4/surestart/fsm"
)

// Config is how to connect.
type Config struct {
	// Dial opens the network connection; nil: a net.Dialer. It must return soon after its context
	// ends.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// TLS encrypts the connection; nil: it is not encrypted.
	TLS *tls.Config
	// SASL authenticates the client; nil: no login. Each connection starts it.
	SASL sasl.Mechanism
	// LocalOnly refuses addresses on other machines, because the network could read the password.
	LocalOnly bool
	// ClientID identifies the client to the broker.
	ClientID string
	// Timeout bounds Open: dial, TLS, API versions and SASL. Zero: only its context does.
	Timeout time.Duration
	// Within, if not nil, is called before the functions of the program that Open calls, in the same
	// goroutine. What it returns is called after them.
	Within func() (leave func())
}

// The errors of a connection that this side has ended.
var (
	errClosed  = errors.New("the connection was closed")
	errTimeout = fmt.Errorf("the broker did not answer in time: %w", context.DeadlineExceeded)

	// ErrPlaintext is the error of an Open that LocalOnly refuses.
	ErrPlaintext = errors.New("without TLS the password could be read on the way (see Config.AllowPlaintextPassword)")
	// errExited is the error if a function of the program calls runtime.Goexit.
	errExited      = errors.New("runtime.Goexit was called in Dial or its connection, in a function of TLS or in the SASL mechanism")
	errNoConn      = errors.New("no connection and no error was returned by Dial")
	errOpenTimeout = fmt.Errorf("connected, but not ready within the DialTimeout: %w", context.DeadlineExceeded)
)

// A Conn is a connection that is ready for requests. One goroutine at a time may use it. Close,
// Ended, Done, Err and Version may be called concurrently.
type Conn struct {
	peer     peer
	clientID string
	raw      *wire    // what was dialled
	nc       net.Conn // raw, or TLS above it
	in       *bufio.Reader
	versions map[protocol.ApiKey]span // what the broker speaks
	renew    time.Time                // of the login
	expires  time.Time                // likewise
	step     string                   // of Open
	limit    *time.Timer              // ends the connection

	// Of the goroutine that has the exchange.
	id      int32
	scratch []byte

	closed   chan struct{} // closed when raw is
	ended    chan struct{} // closed when err is set
	done     chan struct{} // closed when the reader has returned
	answered chan struct{} // of capacity 1

	mu     sync.Mutex
	err    error
	asked  int32  // the id of the request that waits for its answer; 0: none
	size   int    // of that request
	answer []byte // with its size and id; the reader's while asked is not 0
}

// A span is a range of versions.
type span struct{ lowest, highest int16 }

// spoken are the versions that this package uses. None has flexible fields. The lowest of Produce
// is that of Kafka 2.1.
var spoken = map[protocol.ApiKey]span{
	protocol.Produce:          {7, 8},
	protocol.ListOffsets:      {1, 5},
	protocol.Metadata:         {5, 8},
	protocol.SaslHandshake:    {1, 1},
	protocol.ApiVersions:      {0, 0},
	protocol.InitProducerId:   {0, 1},
	protocol.SaslAuthenticate: {0, 1},
}

// Open connects to a broker and makes the connection ready. named means that the configuration has
// the address, which errors mention. Open returns soon after ctx ends or Config.Timeout passes. The
// connection stays open until Close, or until it breaks.
//
// The error is a *NotKafkaError if the answer is not Kafka's; the broker's kafka.Error if it
// refuses the login; an *fsm.PanicError if Dial, a method of its connection, a function of TLS or the
// mechanism panics. A runtime.Goexit in one of these is an error too.
func Open(ctx context.Context, cfg *Config, address string, named bool) (c *Conn, err error) {
	err = fmt.Errorf("connect to %s: %w", address, errExited)
	apart(func() {
		if cfg.Within != nil {
			defer cfg.Within()()
		}
		c, err = connect(ctx, cfg, address, named)
	})
	return c, err
}

// apart calls f in a goroutine of its own, because a user's function in f may call
// runtime.Goexit. It returns when f has ended.
func apart(f func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f()
	}()
	<-ended
}

func connect(ctx context.Context, cfg *Config, address string, named bool) (*Conn, error) {
	p := peer{address: address, named: named, tls: cfg.TLS != nil, login: cfg.SASL != nil}
	if cfg.LocalOnly && !IsLocal(address) {
		return nil, fmt.Errorf("connect to %s: %w", address, ErrPlaintext)
	}
	outer := ctx
	if cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, cfg.Timeout, errOpenTimeout)
		defer cancel()
	}
	nc, err := dial(ctx, cfg, address)
	if err != nil {
		if cause := context.Cause(outer); cause != nil {
			err = cause // more useful than the error that it led to
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	c := &Conn{
		peer: p, clientID: cfg.ClientID, raw: &wire{Conn: nc},
		closed: make(chan struct{}), ended: make(chan struct{}), done: make(chan struct{}), answered: make(chan struct{}, 1),
	}
	c.nc = c.raw
	c.limit = time.AfterFunc(time.Hour, func() { c.end(errTimeout) })
	c.limit.Stop()
	stop := context.AfterFunc(ctx, func() { c.end(context.Cause(ctx)) })
	err = errExited
	defer func() {
		if err != nil { // of prepare, also if a function of the user's has ended the goroutine
			c.end(err)
			<-c.done
		}
	}()
	if err = c.prepare(ctx, cfg); err != nil {
		if cause := context.Cause(ctx); cause != nil && !stop() {
			err = fmt.Errorf("%s: %w", c.step, cause) // more useful than the error that it led to
		}
		var other *NotKafkaError
		if errors.As(err, &other) {
			return nil, err
		}
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	if !stop() { // ctx has ended, and the connection with it
		<-c.done
		return nil, fmt.Errorf("connect to %s: %w", address, c.Err())
	}
	return c, nil
}

func dial(ctx context.Context, cfg *Config, address string) (nc net.Conn, err error) {
	defer recovered("Dial", &err)
	if cfg.Dial == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	if nc, err = cfg.Dial(ctx, "tcp", address); err == nil && isNil(nc) {
		err = errNoConn
	}
	return nc, err
}

// isNil reports whether there is no connection: nc is nil, or a nil pointer of some type.
func isNil(nc net.Conn) bool {
	v := reflect.ValueOf(nc)
	return nc == nil || v.Kind() == reflect.Pointer && v.IsNil()
}

// recovered turns a panic in a user's function into an error.
func recovered(what string, err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("%s: %w", what, &fsm.PanicError{Value: v, Stack: debug.Stack()})
	}
}

// prepare makes a dialled connection ready, and starts its reader.
func (c *Conn) prepare(ctx context.Context, cfg *Config) error {
	if cfg.TLS != nil {
		c.step = "TLS handshake"
		secure := false
		defer func() {
			if !secure {
				close(c.done) // there is no reader
			}
		}()
		if err := c.encrypt(ctx, cfg.TLS); err != nil {
			return err
		}
		secure = true
	}
	c.in = bufio.NewReaderSize(c.nc, 4<<10)
	go c.read()
	c.step = "API versions"
	res, err := c.RoundTrip(new(apiversions.Request), 0)
	if err != nil {
		return err
	}
	versions := res.(*apiversions.Response)
	if versions.ErrorCode != 0 {
		return fmt.Errorf("its API versions: %w", kafka.Error(versions.ErrorCode))
	}
	c.versions = make(map[protocol.ApiKey]span, len(spoken))
	for _, v := range versions.ApiKeys {
		if key := protocol.ApiKey(v.ApiKey); spoken[key] != (span{}) || key == protocol.ApiVersions {
			c.versions[key] = span{v.MinVersion, v.MaxVersion}
		}
	}
	if cfg.SASL != nil {
		c.step = "SASL login"
		return c.authenticate(ctx, cfg.SASL)
	}
	return nil
}

func (c *Conn) encrypt(ctx context.Context, cfg *tls.Config) (err error) {
	defer recovered("TLS", &err)
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName, _, _ = net.SplitHostPort(c.peer.address)
	}
	secure := tls.Client(c.raw, cfg)
	if err := secure.HandshakeContext(ctx); err != nil {
		return c.peer.handshakeFailed(err)
	}
	c.nc = secure
	return nil
}

// Address is the address of the broker.
func (c *Conn) Address() string { return c.peer.address }

// Version returns the highest version of a request that both sides have, or
// kafka.UnsupportedVersion.
func (c *Conn) Version(key protocol.ApiKey) (int16, error) {
	ours, theirs := spoken[key], c.versions[key]
	if c.versions == nil { // nothing is known yet
		theirs = ours
	}
	_, known := c.versions[key]
	v := min(ours.highest, theirs.highest)
	if c.versions != nil && !known || v < max(ours.lowest, theirs.lowest) {
		return 0, fmt.Errorf("%s has no version of %v that this client uses: %w", c.peer.address, key, kafka.UnsupportedVersion)
	}
	return v, nil
}

// Session returns when to connect again because the session of the login expires, and when it
// expires. The broker closes the connection at the first request after that. Zero: it does not
// expire.
func (c *Conn) Session() (renew, expires time.Time) { return c.renew, c.expires }

// Close ends the connection and any exchange under way. It returns when the dialled connection is
// closed.
func (c *Conn) Close() { c.end(errClosed) }

// Ended is closed when the connection has ended: by Close, by the peer, or by an error.
func (c *Conn) Ended() <-chan struct{} { return c.ended }

// Done is closed when the connection's goroutine has returned, soon after Ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended; nil if it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Conn) end(why error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = why
		close(c.ended)
	}
	c.mu.Unlock()
	if first {
		defer close(c.closed)
		c.raw.Close() // not TLS's, which would wait to say goodbye
		return
	}
	<-c.closed
}

// IsLocal reports whether address, host:port, is on this machine.
func IsLocal(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
