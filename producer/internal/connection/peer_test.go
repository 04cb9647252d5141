package connection

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/sasl/plain"

	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

// A script is the other end of a connection, without Kafka behind it.
type script func(c net.Conn)

// dialTo is a Dial to a script. Its end of the connection is closed when the script
// returns.
func dialTo(s script) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			s(server)
		}()
		return client, nil
	}
}

// request reads a request, and returns its correlation id; ok is false at the end.
func request(c net.Conn) (key protocol.ApiKey, id int32, ok bool) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return 0, 0, false
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return 0, 0, false
	}
	return protocol.ApiKey(binary.BigEndian.Uint16(b)), int32(binary.BigEndian.Uint32(b[4:])), true
}

// answerWith answers the first request as a broker, and what follows with f.
func answerWith(f func(c net.Conn, key protocol.ApiKey, id int32) bool) script {
	return func(c net.Conn) {
		_, id, ok := request(c)
		if !ok {
			return
		}
		versions := &apiversions.Response{}
		for key, v := range spoken {
			versions.ApiKeys = append(versions.ApiKeys, apiversions.ApiKeyResponse{ApiKey: int16(key), MinVersion: v.lowest, MaxVersion: v.highest})
		}
		if protocol.WriteResponse(c, 0, id, versions) != nil {
			return
		}
		for {
			key, id, ok := request(c)
			if !ok || !f(c, key, id) {
				return
			}
		}
	}
}

// frame is an answer with this body.
func frame(id int32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	return append(binary.BigEndian.AppendUint32(b, uint32(id)), body...)
}

// If another program answers at the port, the error names its protocol.
func TestD9NotKafka(t *testing.T) {
	says := func(s string) script {
		return func(c net.Conn) {
			c.SetDeadline(time.Now().Add(time.Minute))
			request(c)
			io.WriteString(c, s)
			io.Copy(io.Discard, c)
		}
	}
	for _, test := range []struct {
		name         string
		script       script
		looks, field string
	}{
		{"HTTP", says("HTTP/1.1 400 Bad Request\r\n\r\n"), "HTTP", "Brokers"},
		{"HTTP/2", says("\x00\x00\x06\x04\x00\x00\x00\x00\x00"), "HTTP", "Brokers"},
		{"SSH", says("SSH-2.0-OpenSSH_9.6\r\n"), "SSH", "Brokers"},
		{"SSH at once", func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n"); io.Copy(io.Discard, c) }, "SSH", "Brokers"},
		{"TLS", says("\x15\x03\x01\x00\x02\x02\x46"), "TLS", "TLS"},
		{"negative size", says("\xff\xff\xff\xff\x00\x00\x00\x01"), "", "Brokers"},
		{"small size", says("\x00\x00\x00\x03\x00\x00\x00\x01"), "", "Brokers"},
		{"too large", says("\x04\x00\x00\x01\x00\x00\x00\x01"), "", "Brokers"},
		{"another id", says("\x00\x00\x00\x08\x00\x00\x00\x07\x00\x00\x00\x00"), "", "Brokers"},
		{"an array without end", says("\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x7f\xff\xff\xff"), "", "Brokers"},
		{"less than it claims", says("\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00\x00\x00\x00\x02"), "", "Brokers"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := Open(t.Context(), &Config{Dial: dialTo(test.script), Timeout: 5 * time.Second}, "host:1", true)
				var other *NotKafkaError
				if !errors.As(err, &other) || other.Looks != test.looks || other.Field != test.field || other.Address != "host:1" {
					t.Errorf("Open: %v, want it to look like %q, and field %s", err, test.looks, test.field)
				}
			})
		})
	}
}

// With TLS, a peer without it is named as well.
func TestNotTLS(t *testing.T) {
	for _, test := range []struct{ says, looks, field string }{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP", "Brokers"},
		{"SSH-2.0-OpenSSH_9.6\r\n", "SSH", "Brokers"},
		{"\x00\x00\x00\x0a\x00\x00\x00\x01\x00\x00", "", "TLS"},
		{"", "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			dial := dialTo(func(c net.Conn) {
				go io.Copy(io.Discard, c)
				time.Sleep(time.Second)
				io.WriteString(c, test.says)
			})
			_, err := Open(t.Context(), &Config{Dial: dial, TLS: &tls.Config{ServerName: "host"}, Timeout: 5 * time.Second}, "host:1", true)
			var other *NotKafkaError
			if found := errors.As(err, &other); found != (test.field != "") || found && (other.Looks != test.looks || other.Field != test.field || other.Unwrap() == nil) {
				t.Errorf("%q: %v", test.says, err)
			}
			if !strings.Contains(err.Error(), "Config.") {
				t.Errorf("%v: does not say what to change", err)
			}
		})
	}
	for e, says := range map[NotKafkaError]string{
		{Looks: "TLS", Field: "TLS", Err: io.EOF}: "set Config.TLS", {Field: "TLS", Err: io.EOF}: "leave Config.TLS out",
		{Field: "Brokers", Err: io.EOF}: "Config.Brokers", {Err: io.EOF}: "advertised.listeners",
	} {
		if !strings.Contains(e.Error(), says) {
			t.Errorf("%v: does not say %q", e.Error(), says)
		}
	}
}

// A peer that ends the connection, is silent, or sends half an answer is an error in time.
func TestNoAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		script script
		is     error
		says   string
	}{
		{"closes at once", func(net.Conn) {}, nil, "wants TLS"},
		{"closes after the request", func(c net.Conn) { request(c) }, io.ErrUnexpectedEOF, "wants TLS"},
		{"closes within an answer", func(c net.Conn) { request(c); io.WriteString(c, "\x00\x00\x00\x20\x00\x00\x00\x01abc") }, io.ErrUnexpectedEOF, "EOF"},
		{"closes within a head", func(c net.Conn) { request(c); io.WriteString(c, "\x00\x00\x00\x20\x00") }, io.ErrUnexpectedEOF, "EOF"},
		{"is silent", func(c net.Conn) { io.Copy(io.Discard, c) }, context.DeadlineExceeded, "not ready"},
		{"does not read", func(net.Conn) { time.Sleep(time.Minute) }, context.DeadlineExceeded, "not ready"},
		{"drips", func(c net.Conn) {
			request(c)
			io.WriteString(c, "\x00\x10\x00\x00\x00\x00\x00\x01")
			for {
				time.Sleep(time.Second)
				if _, err := c.Write([]byte{0}); err != nil {
					return
				}
			}
		}, context.DeadlineExceeded, "not ready"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := Open(t.Context(), &Config{Dial: dialTo(test.script), Timeout: 5 * time.Second}, "host:1", true)
				if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) && test.is == context.DeadlineExceeded {
					t.Errorf("Open: %v, want %v, and %q", err, test.is, test.says)
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("Open took %v", took)
				}
				time.Sleep(time.Minute) // the script ends
			})
		})
	}
}

// Each of these ends the connection, and the exchange with an error.
func TestD9BadAnswers(t *testing.T) {
	for _, test := range []struct {
		name string
		bad  func(c net.Conn, id int32)
		is   error // nil: a NotKafkaError
	}{
		{"wrong id", func(c net.Conn, id int32) { c.Write(frame(id+1, 0, 0, 0, 0)) }, nil},
		{"array too long", func(c net.Conn, id int32) { c.Write(frame(id, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0)) }, nil},
		{"empty", func(c net.Conn, id int32) { c.Write(frame(id)) }, nil},
		{"huge", func(c net.Conn, id int32) { c.Write([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}) }, nil},
		{"cut", func(c net.Conn, id int32) { c.Write(frame(id, 0, 0, 0, 0)[:9]); c.Close() }, io.ErrUnexpectedEOF},
		{"closed", func(c net.Conn, id int32) { c.Close() }, io.ErrUnexpectedEOF},
		{"none", func(net.Conn, int32) {}, errTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(func(c net.Conn, _ protocol.ApiKey, id int32) bool {
					test.bad(c, id)
					return true
				}))}, "host:1", false)
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.RoundTrip(&metadata.Request{}, time.Second)
				var other *NotKafkaError
				if test.is != nil && !errors.Is(err, test.is) || test.is == nil && !errors.As(err, &other) {
					t.Errorf("RoundTrip: %v, want %v", err, test.is)
				}
				select {
				case <-c.Ended():
				default:
					t.Error("the connection goes on")
				}
				if _, again := c.RoundTrip(&metadata.Request{}, time.Second); again == nil || again.Error() != c.Err().Error() {
					t.Errorf("RoundTrip on the ended connection: %v, want %v", again, c.Err())
				}
				<-c.Done()
			})
		})
	}
}

// An answer without a request ends the connection, harms no answer before it, and is not the answer to the next request (D2).
func TestD2AnswerToNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(func(c net.Conn, _ protocol.ApiKey, id int32) bool {
			good := frame(id, []byte("good")...)
			c.Write(append(good, frame(id, []byte("evil")...)...))
			return true
		}))}, "host:1", true)
		if err != nil {
			t.Fatal(err)
		}
		body, written, err := c.Exchange(net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)}, time.Second)
		if err != nil || !written || string(body) != "good" {
			t.Errorf("Exchange: %q, %t, %v", body, written, err)
		}
		<-c.Ended()
		var other *NotKafkaError
		if !errors.As(c.Err(), &other) || string(body) != "good" {
			t.Errorf("the connection ended with %v; the answer is %q now", c.Err(), body)
		}
	})
}

// What is announced costs no memory, only what arrives does.
func TestD8MemoryOfAnnouncedAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(func(c net.Conn, _ protocol.ApiKey, id int32) bool {
			head := binary.BigEndian.AppendUint32(nil, maxAnswer)
			c.Write(append(binary.BigEndian.AppendUint32(head, uint32(id)), make([]byte, 1000)...))
			return true
		}))}, "host:1", true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.RoundTrip(&metadata.Request{}, time.Second); !errors.Is(err, errTimeout) {
			t.Errorf("RoundTrip: %v", err)
		}
		<-c.Done()
		if cap(c.answer) > 4<<10 {
			t.Errorf("%d bytes of memory for 1000 that came", cap(c.answer))
		}
	})
}

// A large answer passes, and its memory is not kept.
func TestD8LargeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 3 << 20
		c, err := Open(t.Context(), &Config{Dial: dialTo(answerWith(func(c net.Conn, _ protocol.ApiKey, id int32) bool {
			c.Write(frame(id, make([]byte, n)...))
			n = 1
			return true
		}))}, "host:1", true)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{3 << 20, 1} {
			body, _, err := c.Exchange(net.Buffers{c.AppendHeader(nil, protocol.Metadata, 8)}, time.Minute)
			if err != nil || len(body) != want {
				t.Fatalf("Exchange: %d bytes, %v, want %d", len(body), err, want)
			}
		}
		if cap(c.answer) > keepAnswer {
			t.Errorf("%d bytes are kept", cap(c.answer))
		}
		c.Close()
	})
}

// Whatever the answers are: an error or a message, in bounded time, and no panic.
func FuzzAnswers(f *testing.F) {
	for i := range answers {
		f.Add(uint8(i), []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		f.Add(uint8(i), []byte{0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff})
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		key := answers[int(kind)%len(answers)].ApiKey()
		for v := spoken[key].lowest; v <= spoken[key].highest; v++ {
			if _, ok := shapes()[shape.Version{Key: key, Number: v}](body); ok {
				if _, _, err := protocol.ReadResponse(strings.NewReader(string(frame(1, body...))), key, v); err != nil {
					t.Errorf("%v, version %d: the shape is right, and kafka-go says %v", key, v, err)
				}
			}
		}
	})
}

// Any bytes in place of the first answer, or of the answer to a login, give an error or a
// connection. The memory is in proportion to the bytes received, and nothing panics.
func FuzzOpen(f *testing.F) {
	for _, says := range []string{
		"", "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n", "\x15\x03\x01\x00\x02\x02\x46", "\x7f\xff\xff\xff\x00\x00\x00\x01",
		string(frame(1, 0, 0, 0, 0, 0, 1, 0, 18, 0, 0, 0, 2)), string(frame(1, 0, 0, 0x7f, 0xff, 0xff, 0xff)), string(frame(2, 0, 0, 0, 0, 0, 0)),
		string(frame(2, 0, 34, 0, 0, 0, 0)), string(frame(2, 0, 0, 0, 0, 0, 1, 0, 5, 'P', 'L', 'A', 'I', 'N')), string(frame(2, 0, 0)),
	} {
		f.Add(true, []byte(says))
		f.Add(false, []byte(says))
	}
	f.Fuzz(func(t *testing.T, first bool, says []byte) {
		s := script(func(c net.Conn) {
			if _, _, ok := request(c); ok {
				c.Write(says)
			}
		})
		if !first {
			s = answerWith(func(c net.Conn, _ protocol.ApiKey, _ int32) bool {
				c.Write(says)
				return false
			})
		}
		c, err := Open(t.Context(), &Config{Dial: dialTo(s), SASL: plain.Mechanism{Username: "u", Password: "p"}, Timeout: time.Minute}, "host:1", true)
		if err != nil {
			if !strings.Contains(err.Error(), "host:1") {
				t.Errorf("Open: %v; want it to name the address", err)
			}
			return
		}
		<-c.Done()
		if cap(c.answer) > 4*len(says)+8<<10 {
			t.Errorf("%d bytes of memory for %d", cap(c.answer), len(says))
		}
	})
}
