package producer

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// says returns a server that answers the first bytes with a text, and then sends nothing, with the
// connection open.
func says(answer string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		c.Read(make([]byte, 1))
		go io.WriteString(c, answer)
		io.Copy(io.Discard, c)
	}
}

// slowly is says, byte by byte.
func slowly(answer string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		for i := range answer {
			io.WriteString(c, answer[i:i+1])
			time.Sleep(time.Millisecond)
		}
		io.Copy(io.Discard, c)
	}
}

// endlessly is a server that never stops to say it.
func endlessly(answer []byte) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		for {
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	}
}

// answer makes the bytes of an answer: the size is added.
func answer(id int32, body ...byte) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(id))
	return string(append(b, body...))
}

// https is a server that speaks HTTP over TLS.
func https(t *testing.T, cfg *tls.Config) string {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = cfg
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// A port where something else than Kafka answers: the Start ends at once, with an error
// that says what answers, where, and what to look at; it costs little memory, is not
// tried again, and leaves nothing.
func TestG12WrongPort(t *testing.T) {
	garbage := make([]byte, 1<<16)
	rand.Read(garbage)
	garbage[0] = 0x7f
	// The ApiVersions answer with so many keys that believing it costs 100 MB.
	manyKeys := answer(1, 0, 0, 1, 0, 0, 0, 0, 18, 0, 0, 0, 2)
	plainHTTP := httptest.NewServer(http.NotFoundHandler())
	defer plainHTTP.Close()
	server, roots := testbroker.Certificate(t)
	client := &tls.Config{RootCAs: roots}

	listen := func(serve func(net.Conn)) string { return testbroker.Listen(t, serve) }
	for _, c := range []struct {
		name, addr, looks, field string
		tls                      *tls.Config
	}{
		{name: "HTTP", addr: plainHTTP.Listener.Addr().String(), looks: "HTTP", field: "Brokers"},
		{name: "HTTPByHand", addr: listen(says("HTTP/1.1 400 Bad Request\r\n\r\n")), looks: "HTTP", field: "Brokers"},
		{name: "HTTPSlowly", addr: listen(slowly("HTTP/1.1 400 Bad Request\r\n\r\n")), looks: "HTTP", field: "Brokers"},
		{name: "HTTP2", addr: listen(says("\x00\x00\x12\x04\x00\x00\x00\x00\x00")), looks: "HTTP", field: "Brokers"},
		{name: "HTTPWithTLS", addr: plainHTTP.Listener.Addr().String(), tls: client, looks: "HTTP", field: "Brokers"},
		{name: "HTTPSWithTLS", addr: https(t, server), tls: client, looks: "HTTP", field: "Brokers"},
		{name: "TLSWithoutTLS", addr: listen(says("\x15\x03\x03\x00\x02\x02\x46")), looks: "TLS", field: "TLS"},
		{name: "SSH", addr: listen(says("SSH-2.0-OpenSSH_9.6\r\n")), looks: "SSH", field: "Brokers"},
		{name: "SSHWithTLS", addr: listen(says("SSH-2.0-OpenSSH_9.6\r\n")), tls: client, looks: "SSH", field: "Brokers"},
		{name: "SMTP", addr: listen(says("220 mail.example.org ESMTP\r\n")), field: "Brokers"},
		{name: "SMTPWithTLS", addr: listen(says("220 mail.example.org ESMTP\r\n")), tls: client, field: "TLS"},
		{name: "Garbage", addr: listen(says(string(garbage))), field: "Brokers"},
		{name: "GarbageWithoutEnd", addr: listen(endlessly(garbage)), field: "Brokers"},
		{name: "ZerosWithoutEnd", addr: listen(endlessly(make([]byte, 1<<10))), field: "Brokers"},
		{name: "NegativeSize", addr: listen(says("\xff\xff\xff\xff\x00\x00\x00\x01")), field: "Brokers"},
		{name: "SizeTooLarge", addr: listen(says("\x04\x00\x00\x01\x00\x00\x00\x01")), field: "Brokers"},
		{name: "OtherCorrelationID", addr: listen(says(answer(2, 0, 0, 0, 0, 0, 0))), field: "Brokers"},
		{name: "ManyKeys", addr: listen(says(manyKeys)), field: "Brokers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, seen := persistent(t, &testbroker.Broker{Addrs: []string{c.addr}}, time.Second, Config{Topic: "t", TLS: c.tls})
			ctx, cancel := context.WithTimeout(bg, hang/6)
			defer cancel()
			began, before := time.Now(), allocated()
			err := p.Start(ctx)
			cost, took := allocated()-before, time.Since(began)
			if cost > 4<<20 || took > hang/6 {
				t.Errorf("G12 Progress: the Start took %v and %d bytes", took, cost)
			}
			var other *NotKafkaError
			var failed *fsm.StartError
			if !errors.As(err, &other) || !errors.As(err, &failed) || failed.Part != "metadata" || failed.Rollback != nil {
				t.Fatalf("G12 Progress: Start: %v; want a NotKafkaError at the metadata", err)
			}
			if other.Address != c.addr || other.Looks != c.looks || other.Field != c.field || other.Err == nil {
				t.Errorf("%+v; want address %s, %q, %q", *other, c.addr, c.looks, c.field)
			}
			for _, part := range []string{c.addr, "Config." + c.field, c.looks} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %q", err, part)
				}
			}
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("%q has control characters", err)
			}
			if Temporary(err) || len(seen.steps) > 0 {
				t.Errorf("Temporary is %t, and it was tried again %d times", Temporary(err), len(seen.steps))
			}
			if err := get(t, async(p.Close)); err != nil {
				t.Error(err)
			}
		})
	}
}

// allocated is how many bytes this process has allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// A peer that hangs up, or never answers, need not be a wrong port: it may be a broker on its way
// up or down. The error says what it can mean, and is Temporary.
func TestPeerThatHangsUp(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	client := &tls.Config{RootCAs: roots}
	hangUp := func(after int, answer string) func(net.Conn) {
		return func(c net.Conn) {
			io.ReadFull(c, make([]byte, after))
			io.WriteString(c, answer)
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, c)
			c.Close()
		}
	}
	half := answer(1, 0, 0, 0, 0, 0, 1, 0, 1)
	for _, c := range []struct {
		name, hint string
		serve      func(net.Conn)
		tls        *tls.Config
	}{
		{"AtOnce", "Config.TLS", hangUp(4, ""), nil},
		{"InTheHandshake", "Config.TLS", hangUp(4, ""), client},
		{"HTTPS", "Config.TLS", nil, nil},
		{"InTheSize", "", hangUp(4, half[:3]), nil},
		{"InTheHead", "", hangUp(4, half[:6]), nil},
		{"InTheBody", "", hangUp(4, half[:12]), nil},
		{"InALargeBody", "", hangUp(4, "\x04\x00\x00\x00\x00\x00\x00\x01\x00\x00"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := https(t, server) // Go's does not say why it ends the connection
			if c.serve != nil {
				addr = testbroker.Listen(t, c.serve)
			}
			b := &testbroker.Broker{Addrs: []string{addr}}
			p := newProducer(t, b, Config{Topic: "t", TLS: c.tls})
			before := allocated()
			err := p.Start(bg)
			if !errors.Is(err, io.ErrUnexpectedEOF) || !Temporary(err) || isNotKafka(err) || !strings.Contains(err.Error(), c.hint) {
				t.Errorf("%v; want an end of the connection, Temporary, with %q", err, c.hint)
			}
			if cost := allocated() - before; cost > 4<<20 {
				t.Errorf("%d bytes", cost)
			}
		})
	}
}

// A login at a port that wants none, none at a port that wants one, and one that the broker does not
// offer: the Start ends at once, and its error points at Config.SASL (R54).
func TestR54LoginAtTheWrongPort(t *testing.T) {
	const wanted, unwanted = true, false
	for _, c := range []struct {
		name   string
		port   bool
		login  sasl.Mechanism
		answer *kerr.Error
		is     error
	}{
		{"UnwantedLogin", unwanted, rightPassword, kerr.IllegalSaslState, kafka.IllegalSASLState},
		{"UnwantedLoginClosed", unwanted, rightPassword, nil, io.ErrUnexpectedEOF},
		{"NoLogin", wanted, nil, nil, io.ErrUnexpectedEOF},
		{"AnotherMechanism", wanted, otherMechanism{rightPassword}, nil, kafka.UnsupportedSASLMechanism},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := []kfake.Opt{kfake.SeedTopics(1, "t")}
			if c.port == wanted {
				opts = append(opts, kfake.EnableSASL(), kfake.Superuser("PLAIN", "user", "right"))
			}
			testbroker.EachFake(t, func(t *testing.T, b *testbroker.Broker) {
				if c.answer != nil {
					b.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.SASLHandshake}, Err: c.answer, Count: -1})
				}
				loginAtTheWrongPort(t, b, b.Addrs, c.login, c.is)
			}, opts...)
		})
	}
}

func loginAtTheWrongPort(t *testing.T, b *testbroker.Broker, brokers []string, login sasl.Mechanism, is error) {
	t.Helper()
	p := newProducer(t, b, Config{Brokers: brokers, Topic: "t", SASL: login, AllowPlaintextPassword: true})
	began := time.Now()
	err := p.Start(bg)
	if mustBe(t, err, is); !strings.Contains(err.Error(), "Config.SASL") || !strings.Contains(err.Error(), brokers[0]) {
		t.Errorf("Start: %v; want it to name the address, and Config.SASL", err)
	}
	if took := time.Since(began); took > hang/6 {
		t.Errorf("the Start took %v", took)
	}
	nothingLeft(t, b, p)
}

// One address of several is no Kafka, hangs up, or never answers. Start finds the one that is
// Kafka, in any order. Without one, the error has the reason for each address. One that may be
// better later is enough to make it Temporary.
func TestG12OneGoodAddressIsEnough(t *testing.T) {
	const noKafka, noKafkaEither, closes, silent, refuses = "http:1", "ssh:1", "closes:1", "silent:1", "refuses:1"
	serve := map[string]func(net.Conn){
		noKafka:       says("HTTP/1.1 400 Bad Request\r\n\r\n"),
		noKafkaEither: says("SSH-2.0-x\r\n"),
		closes:        func(c net.Conn) { c.Close() },
		silent:        func(c net.Conn) { io.Copy(io.Discard, c); c.Close() },
	}
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t, kfake.SeedTopics(1, "t"))
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if serve[address] == nil {
				return b.Dial(ctx, network, address)
			}
			client, server := net.Pipe()
			go serve[address](server)
			return client, nil
		}
		for range 20 { // kafka-go shuffles them
			p := newProducer(t, b, Config{Topic: "t", Brokers: []string{noKafka, closes, silent, refuses, b.Addrs[0]}, Dial: dial})
			if err := p.Start(bg); err != nil {
				t.Fatalf("G12 Progress: one address of five is good, and Start: %v", err)
			}
			if err := p.WriteMessages(bg, message("m")); err != nil {
				t.Error(err)
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		}
		for _, c := range []struct {
			brokers   []string
			temporary bool
		}{
			{[]string{noKafka, closes, silent, refuses}, true},
			{[]string{noKafka, noKafkaEither}, false},
			{[]string{noKafka, noKafka}, false},
		} {
			err := newProducer(t, b, Config{Topic: "t", Brokers: c.brokers, Dial: dial}).Start(bg)
			if !isNotKafka(err) || Temporary(err) != c.temporary {
				t.Errorf("%v; want the NotKafkaError, and Temporary to be %t", err, c.temporary)
			}
			for _, a := range c.brokers {
				if !strings.Contains(err.Error(), a) {
					t.Errorf("%v does not name %s", err, a)
				}
			}
		}
	})
}

// A broker that is found by metadata and is none: the error says where the address is from.
func TestAdvertisedAddressIsNotKafka(t *testing.T) {
	b := testbroker.Fake(t, kfake.SeedTopics(1, "t"))
	wrong := testbroker.Listen(t, says("HTTP/1.1 400 Bad Request\r\n\r\n"))
	const bootstrap = "bootstrap.test:9092"
	p := newProducer(t, b, Config{Topic: "t", Brokers: []string{bootstrap}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		address = map[string]string{bootstrap: b.Addrs[0], b.Addrs[0]: wrong}[address]
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	err := p.Start(bg)
	var other *NotKafkaError
	var failed *fsm.StartError
	if !errors.As(err, &other) || !errors.As(err, &failed) || failed.Part != "leaders" {
		t.Fatalf("Start: %v; want a NotKafkaError at the leaders", err)
	}
	if other.Address != b.Addrs[0] || other.Field != "" || !strings.Contains(err.Error(), "advertised.listeners") || Temporary(err) {
		t.Errorf("%v", err)
	}
}

// A broker that is found by metadata and cannot be reached there, as one that gives out an address
// of its own network does: the error says where the address is from. Not if the user named it.
func TestAdvertisedAddressCannotBeReached(t *testing.T) {
	b := testbroker.Fake(t, kfake.SeedTopics(2, "t"))
	const bootstrap = "bootstrap.test:9092"
	var reachable atomic.Bool
	cfg := Config{Topic: "t", Brokers: []string{bootstrap}, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == b.Addrs[0] && !reachable.Load() {
			return nil, errRefused
		}
		return new(net.Dialer).DialContext(ctx, network, b.Addrs[0])
	}}
	for _, named := range []bool{false, true} {
		if named {
			cfg.Brokers = append(cfg.Brokers, b.Addrs[0])
		}
		reachable.Store(false)
		p := newProducer(t, b, cfg)
		err := failsThenStarts(t, b, p, "leaders", func() { reachable.Store(true) }, errRefused)
		if strings.Contains(err.Error(), "advertised.listeners") == named || !strings.Contains(err.Error(), b.Addrs[0]) || !Temporary(err) {
			t.Errorf("%v; the address is the user's: %t", err, named)
		}
	}
}

// What takes the place of a broker while the producer runs does not fail a write: a broker
// that comes back in time gets it.
func TestWrongPortWhileRunning(t *testing.T) {
	b := testbroker.Fake(t, kfake.SeedTopics(1, "t"))
	wrong := testbroker.Listen(t, says("HTTP/1.1 503 Service Unavailable\r\n\r\n"))
	var away atomic.Bool
	p := newProducer(t, b, Config{Topic: "t", Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			address = wrong
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	start(t, p)
	away.Store(true)
	b.Net.Cut()
	until(t, "the cut to be noticed", func() bool { return p.Counters().Connections == 0 })
	write := async(func() error { return p.WriteMessages(bg, message("m")) })
	until(t, "attempts to connect", func() bool { return p.Counters().ConnectFailures > 4 })
	if n := p.Counters().Requests; n != 0 {
		t.Errorf("%d produce requests to a stranger", n)
	}
	away.Store(false)
	if err := get(t, write); err != nil {
		t.Errorf("a write that met a stranger for a moment: %v", err)
	}
}

func isNotKafka(err error) bool {
	var other *NotKafkaError
	return errors.As(err, &other)
}
