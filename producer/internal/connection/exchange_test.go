package connection

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/initproducerid"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"github.com/seed3893aba4/surestart/internal/testbroker"
)

// The messages that a producer asks with go there and back.
func TestRoundTrips(t *testing.T) {
	testbroker.Each(t, func(t *testing.T, b *testbroker.Broker) {
		topic := b.CreateTopic(t, 3)
		c, err := open(t, b, Config{ClientID: "test"})
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.RoundTrip(&metadata.Request{TopicNames: []string{topic}}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if m := res.(*metadata.Response); len(m.Topics) != 1 || len(m.Topics[0].Partitions) != 3 || len(m.Brokers) == 0 {
			t.Errorf("metadata: %+v", m)
		}
		for range 2 {
			res, err := c.RoundTrip(&initproducerid.Request{ProducerID: -1, ProducerEpoch: -1}, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if r := res.(*initproducerid.Response); r.ErrorCode != 0 && r.ErrorCode != int16(kafka.GroupLoadInProgress) {
				t.Errorf("producer id: %+v", r)
			}
		}
		if _, err := c.RoundTrip(&listoffsets.Request{ReplicaID: -1, Topics: []listoffsets.RequestTopic{{
			Topic: topic, Partitions: []listoffsets.RequestPartition{{Partition: 0, CurrentLeaderEpoch: -1, Timestamp: -1}},
		}}}, time.Minute); err != nil {
			t.Error(err)
		}
	})
}

// Close ends an exchange that is under way at once, although the peer reads nothing any more; what waits reads why. So a
// forced stop waits for no broker (D7).
func TestD7CloseEndsAnExchange(t *testing.T) {
	server, roots := testbroker.Certificate(t)
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			defer close(over)
			cfg := Config{Dial: dialTo(func(nc net.Conn) {
				if secure {
					nc = tls.Server(nc, server)
				}
				answerWith(func(net.Conn, protocol.ApiKey, int32) bool { <-over; return false })(nc)
			})}
			if secure {
				cfg.TLS = &tls.Config{RootCAs: roots, ServerName: "localhost"}
			}
			c, err := Open(t.Context(), &cfg, "host:1", true)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			time.AfterFunc(time.Second, c.Close)
			_, written, err := c.Exchange(net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)}, time.Minute)
			if !errors.Is(err, errClosed) || !written {
				t.Errorf("Exchange: written %t, %v", written, err)
			}
			<-c.Done()
			if took := time.Since(began); took != time.Second {
				t.Errorf("D7 Drains is broken: TLS %t: the connection ended after %v", secure, took)
			}
		})
	}
}

// A peer that reads nothing holds up neither request for longer than the timeout, and the connection ends: the next one
// may lead to a broker that does (D9).
func TestD9PeerReadsNothing(t *testing.T) {
	for _, answered := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			over := make(chan struct{})
			defer close(over)
			c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(func(net.Conn, protocol.ApiKey, int32) bool { <-over; return false }))}, "host:1", true)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			request := func() net.Buffers { return net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)} }
			if written, err := c.Send(request(), time.Second); !written || err != nil {
				t.Fatalf("the first request: written %t, %v", written, err)
			}
			var written bool
			if answered {
				_, written, err = c.Exchange(request(), time.Second)
			} else {
				written, err = c.Send(request(), time.Second)
			}
			if took := time.Since(began); written || !errors.Is(err, errTimeout) || took != time.Second {
				t.Errorf("D9 Survives is broken: with an answer %t: written %t after %v: %v", answered, written, took, err)
			}
			<-c.Done()
		})
	}
}

// The end of a broker is noticed while no request is under way.
func TestIdleConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := testbroker.Virtual(t)
		c, err := open(t, b, Config{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if err := c.Err(); err != nil {
			t.Errorf("it ended by itself: %v", err)
		}
		b.Net.Cut()
		<-c.Ended()
	})
}

// A stunted connection fails to write after so many bytes more.
type stunted struct {
	net.Conn
	left  int
	armed bool
	late  bool // it fails after it has written all
}

var errStunted = errors.New("stunted")

func (s *stunted) Write(b []byte) (int, error) {
	if !s.armed {
		return s.Conn.Write(b)
	}
	if len(b) < s.left || len(b) == s.left && !s.late {
		s.left -= len(b)
		return s.Conn.Write(b)
	}
	n, _ := s.Conn.Write(b[:min(s.left, len(b))])
	s.left -= n
	return n, errStunted
}

// A request of which a byte is missing was not written: no broker handles it, and its messages can be withdrawn. That
// holds with TLS, which does not count.
func TestD5PartOfARequest(t *testing.T) {
	eachWriter(t, func(t *testing.T, try func(left int, late bool) (written bool, used int)) {
		_, total := try(1<<30, false)
		for _, left := range []int{0, 1, 4, 39, total / 2, total - 1} {
			if written, _ := try(left, false); written {
				t.Errorf("D5 Withdrawn is broken: %d of %d bytes left this side: written as a whole", left, total)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(nil))}, "host:1", true)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if _, written, err := c.Exchange(net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)}, time.Second); written || !errors.Is(err, errClosed) {
			t.Errorf("D5 Withdrawn is broken: a request on a connection that has ended: written %t, %v", written, err)
		}
		<-c.Done()
	})
}

// A request of which every byte left this side was written, also if the write then failed.
func TestD2WrittenWhole(t *testing.T) {
	eachWriter(t, func(t *testing.T, try func(left int, late bool) (written bool, used int)) {
		written, total := try(1<<30, false)
		if !written {
			t.Errorf("D2 Truth is broken: nothing fails, and the request of %d bytes was not written", total)
		}
		if written, _ := try(total, true); !written {
			t.Error("D2 Truth is broken: all bytes left this side, and then the write failed: not written")
		}
	})
}

// eachWriter calls test for small and large requests, with TLS and without. try exchanges a request, and fails the writing
// of it after so many bytes.
func eachWriter(t *testing.T, test func(t *testing.T, try func(left int, late bool) (written bool, used int))) {
	server, roots := testbroker.Certificate(t)
	for _, c := range []struct {
		name   string
		secure bool
		size   int
	}{{"plain", false, 40}, {"plain large", false, flatRequest + 100}, {"TLS", true, 40}, {"TLS large", true, flatRequest + 100}} {
		t.Run(c.name, func(t *testing.T) {
			test(t, func(left int, late bool) (written bool, used int) {
				synctest.Test(t, func(t *testing.T) {
					var s *stunted
					cfg := Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
						inner, err := dialTo(func(nc net.Conn) {
							if c.secure {
								nc = tls.Server(nc, server)
							}
							answerWith(func(net.Conn, protocol.ApiKey, int32) bool { return true })(nc)
						})(ctx, network, address)
						s = &stunted{Conn: inner}
						return s, err
					}}
					if c.secure {
						cfg.TLS = &tls.Config{RootCAs: roots, ServerName: "localhost", DynamicRecordSizingDisabled: true}
					}
					conn, err := Open(t.Context(), &cfg, "host:1", true)
					if err != nil {
						t.Fatal(err)
					}
					s.left, s.armed, s.late = left, true, late
					head := conn.AppendHeader(nil, protocol.Metadata, 8)
					_, written, err = conn.Exchange(net.Buffers{head, make([]byte, c.size-len(head))}, time.Second)
					if err == nil {
						t.Fatal("the exchange succeeded")
					}
					if used = left - s.left; left == 1<<30 && used < c.size {
						t.Fatalf("nothing fails: %d bytes", used)
					}
					conn.Close()
					<-conn.Done()
				})
				return written, used
			})
		})
	}
}

// A method of a Config.Dial connection that calls runtime.Goexit ends the connection, and no goroutine of the caller's. It
// is unknown what such a Write has written (D2).
func TestConnectionExits(t *testing.T) {
	eachExits := map[string]exits{"Write": {write: true}, "Close": {close: true}, "Write and Close": {write: true, close: true}}
	for name, e := range eachExits {
		synctest.Test(t, func(t *testing.T) {
			dialled := exits{}
			c, err := Open(t.Context(), &Config{Dial: func(ctx context.Context, network, address string) (nc net.Conn, err error) {
				dialled.Conn, err = dialTo(answerWith(func(net.Conn, protocol.ApiKey, int32) bool { return true }))(ctx, network, address)
				return &dialled, err
			}}, "host:1", true)
			if err != nil {
				t.Fatal(err)
			}
			dialled.write, dialled.close = e.write, e.close
			returned := false
			apart(func() {
				_, written, err := c.Exchange(net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)}, time.Second)
				if !written || err == nil || e.write != errors.Is(err, errExited) {
					t.Errorf("%s exits: written %t, %v", name, written, err)
				}
				c.Close()
				<-c.Done()
				returned = true
			})
			if !returned {
				t.Errorf("%s exits, and the caller's goroutine with it", name)
			}
		})
	}
	for name, e := range eachExits { // TLS closes a connection in a goroutine of its own, and waits for it
		synctest.Test(t, func(t *testing.T) {
			_, err := Open(t.Context(), &Config{Timeout: time.Second, TLS: &tls.Config{ServerName: "host"}, Dial: func(ctx context.Context, network, address string) (nc net.Conn, err error) {
				nc, err = dialTo(func(c net.Conn) { io.Copy(io.Discard, c) })(ctx, network, address)
				return &exits{nc, e.write, e.close}, err
			}}, "host:1", true)
			if err == nil || e.write != errors.Is(err, errExited) {
				t.Errorf("%s exits in a handshake: %v", name, err)
			}
		})
	}
}

// Methods of an exits call runtime.Goexit.
type exits struct {
	net.Conn
	write, close bool
}

func (e *exits) Write(b []byte) (int, error) {
	if e.write {
		runtime.Goexit()
	}
	return e.Conn.Write(b)
}

func (e *exits) Close() error {
	err := e.Conn.Close()
	if e.close {
		runtime.Goexit()
	}
	return err
}

// An exchange takes little memory.
func TestAllocations(t *testing.T) {
	answer := frame(0, make([]byte, 100)...)
	c, err := Open(t.Context(), new(Config), testbroker.Listen(t, answerWith(func(c net.Conn, _ protocol.ApiKey, id int32) bool {
		answer[7], answer[6] = byte(id), byte(id>>8)
		_, err := c.Write(answer)
		return err == nil
	})), true)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := c.AppendHeader(nil, protocol.Produce, 8)
	frame := make(net.Buffers, 1)
	n := testing.AllocsPerRun(100, func() {
		frame[0] = head
		if _, _, err := c.Exchange(frame[:1], time.Minute); err != nil {
			t.Fatal(err)
		}
	})
	if n > 4 { // of them, the script's: the request's head and body
		t.Errorf("%v allocations an exchange", n)
	}
}

// A session that is longer than a Duration can be does not end at once.
func TestLongSession(t *testing.T) {
	for ms, want := range map[int64]time.Duration{
		0: 0, -1: -time.Millisecond, 1500: 1500 * time.Millisecond,
		18446744073710: math.MaxInt64 / 1_000_000 * time.Millisecond, // times 1e6 it is 2^64 and a little
		math.MaxInt64:  math.MaxInt64 / 1_000_000 * time.Millisecond,
	} {
		if d := lifetimeOf(ms); d != want {
			t.Errorf("%d ms are %v, want %v", ms, d, want)
		}
	}
}
