package producer

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"
	"testing/quick"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"

	"github.com/seed3893aba4/surestart/internal/testbroker"
	"github.com/seed3893aba4/surestart/producer/internal/shape"
)

// answers are what brokers answer a producer with.
var answers = []protocol.Message{
	new(apiversions.Response), new(saslhandshake.Response), new(saslauthenticate.Response),
	new(metadata.Response), new(listoffsets.Response), new(produce.Response),
}

// A fixedPeer is a connection whose other end has sent these bytes, and then nothing.
type fixedPeer struct {
	net.Conn
	io.Reader
}

func (c *fixedPeer) Read(b []byte) (int, error)  { return c.Reader.Read(b) }
func (c *fixedPeer) Write(b []byte) (int, error) { return len(b), nil }

// asking returns a connection over which a request was sent, and these bytes came back.
func asking(of shape.Version, id int32, came []byte) *framed {
	f := newFramed(&fixedPeer{Reader: bytes.NewReader(came)}, peer{address: "test:1", named: true})
	f.Write(requestHead(of, id))
	return f
}

// requestHead is a request that is nothing but its head.
func requestHead(of shape.Version, id int32) []byte {
	b := binary.BigEndian.AppendUint32(nil, headSize-4)
	b = binary.BigEndian.AppendUint16(b, uint16(of.Key))
	b = binary.BigEndian.AppendUint16(b, uint16(of.Number))
	return binary.BigEndian.AppendUint32(b, uint32(id))
}

// Every answer that kafka-go can write passes, in each version, and is read as it was
// written; and none whose arrays or strings claim more than there is.
func TestShapes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	checked := 0
	for _, m := range answers {
		key := m.ApiKey()
		for v := key.MinVersion(); v <= key.MaxVersion(); v++ {
			of := shape.Version{Key: key, Number: v}
			err := quick.Check(func(id int32) bool {
				filled := reflect.New(reflect.TypeOf(m).Elem())
				fill(random, filled.Elem(), 4)
				var wire bytes.Buffer
				if err := protocol.WriteResponse(&wire, v, id, filled.Interface().(protocol.Message)); err != nil {
					t.Fatal(err)
				}
				_, want, err := protocol.ReadResponse(bytes.NewReader(wire.Bytes()), key, v)
				if err != nil {
					t.Fatal(err)
				}
				_, got, err := protocol.ReadResponse(asking(of, id, wire.Bytes()), key, v)
				if err != nil || !reflect.DeepEqual(got, want) {
					t.Logf("%v v%d: %v, %v, %v", key, v, err, got, want)
					return false
				}
				// A byte less, and the announced size with it: the end is missing.
				short := bytes.Clone(wire.Bytes()[:wire.Len()-1])
				binary.BigEndian.PutUint32(short, uint32(len(short)-4))
				_, _, err = protocol.ReadResponse(asking(of, id, short), key, v)
				checked++
				return strange(err)
			}, &quick.Config{MaxCount: 100})
			if err != nil {
				t.Error(err)
			}
		}
	}
	if checked < 2000 {
		t.Errorf("only %d answers were checked", checked)
	}
}

// fill gives everything in v a random value, with arrays of a few elements.
func fill(r *rand.Rand, v reflect.Value, most int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(r, v.Field(i), most)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), r.IntN(most+1), most))
		for i := range v.Len() {
			fill(r, v.Index(i), most)
		}
	case reflect.String:
		v.SetString("kafka.example.org"[:r.IntN(17)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 1)
	case reflect.Uint8:
		v.SetUint(r.Uint64N(256))
	default:
		v.SetInt(r.Int64() >> (64 - v.Type().Bits()))
	}
}

// Answers to several requests come in one piece, or byte by byte; each is handed over as
// a whole, and what nobody asked for is an error at the next request.
func TestFramesOneByOne(t *testing.T) {
	api := shape.Version{Key: protocol.ApiVersions}
	for name, bytewise := range map[string]bool{"together": false, "byte by byte": true} {
		t.Run(name, func(t *testing.T) {
			came := answer(1, 0, 0, 0, 0, 0, 0) + answer(2, 0, 35, 0, 0, 0, 0) + answer(2, 0, 0, 0, 0, 0, 0)
			c := &fixedPeer{Reader: bytes.NewReader([]byte(came))}
			if bytewise {
				c.Reader = iotest.OneByteReader(c.Reader)
			}
			f := newFramed(c, peer{})
			if _, err := f.Read(make([]byte, 1)); !errors.Is(err, errNotAsked) {
				t.Errorf("a read before anything was asked: %v", err)
			}
			f.err = nil
			for id, code := range []int16{0, 35} {
				head := requestHead(api, int32(id)+1)
				for i := range head { // however it is cut
					f.Write(head[i : i+1])
				}
				_, res, err := protocol.ReadResponse(f, api.Key, 0)
				if err != nil || res.(*apiversions.Response).ErrorCode != code {
					t.Fatalf("answer %d: %v, %v", id+1, res, err)
				}
			}
			f.Write(requestHead(api, 3))
			_, _, err := protocol.ReadResponse(f, api.Key, 0)
			if !strange(err) {
				t.Errorf("an answer that nobody asked for: %v", err)
			}
			if _, again := f.Read(make([]byte, 1)); again != err {
				t.Errorf("then %v", again)
			}
		})
	}
}

// Brokers before Kafka 1.0 take SASL tokens without a head, and answer such; what comes
// after them is checked again.
func TestSASLTokensWithoutAHead(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	f := newFramed(client, peer{address: "old:1", named: true})
	pc := protocol.NewConn(f, "")
	pc.SetVersions(map[protocol.ApiKey]int16{protocol.SaslHandshake: 0})
	go func() {
		defer server.Close()
		read := func() {
			var size [4]byte
			io.ReadFull(server, size[:])
			io.CopyN(io.Discard, server, int64(binary.BigEndian.Uint32(size[:])))
		}
		read()
		io.WriteString(server, answer(1, 0, 0, 0, 0, 0, 0))
		for _, token := range []string{"\x00\x00\x00\x02ok", "\x00\x00\x00\x00"} {
			read()
			io.WriteString(server, token)
		}
		read()
		io.WriteString(server, answer(4, 0, 0, 0, 0, 0, 0))
		read()
		io.WriteString(server, "HTTP/1.1 ")
	}()
	if _, err := pc.RoundTrip(&saslhandshake.Request{Mechanism: "PLAIN"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"ok", ""} {
		res, err := pc.RoundTrip(&saslauthenticate.Request{AuthBytes: []byte("\x00u\x00p")})
		if err != nil || string(res.(*saslauthenticate.Response).AuthBytes) != want {
			t.Fatalf("%v, %v; want the token %q", res, err, want)
		}
	}
	if _, err := pc.RoundTrip(new(apiversions.Request)); err != nil {
		t.Fatal(err)
	}
	_, err := pc.RoundTrip(&saslauthenticate.Request{AuthBytes: []byte("\x00u\x00p")})
	if !strange(err) {
		t.Errorf("an answer of 1.2 GB to a token: %v", err)
	}
}

// A broker whose answers are true but for some bytes: whatever a Start and a write make of
// it, nothing panics, hangs, or costs much memory, and the next start works.
func TestBrokerThatLies(t *testing.T) {
	lies := 300
	if testing.Short() {
		lies = 60
	}
	started, strangers := 0, 0
	for seed := range lies {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 0))
			b := testbroker.Virtual(t)
			topic := b.CreateTopic(t, 2)
			p := newProducer(t, b, Config{Topic: topic, CheckWritePermission: true, Logger: slog.New(slog.DiscardHandler), DeliveryTimeout: 5 * time.Second})
			at := r.IntN(8)
			n := 0
			var mu sync.Mutex // connections answer side by side
			b.Net.Altered(func(a []byte) {
				mu.Lock()
				defer mu.Unlock()
				if n++; n <= at || len(a) <= 8 {
					return
				}
				for range 1 + r.IntN(3) {
					i := 8 + r.IntN(len(a)-8)
					a[i] = [...]byte{0, 1, 0x7f, 0x80, 0xff, byte(r.IntN(256))}[r.IntN(6)]
				}
			})
			before := allocated()
			ctx, cancel := context.WithTimeout(bg, hang)
			defer cancel()
			err := p.Start(ctx)
			if ctx.Err() != nil {
				t.Errorf("seed %d: the Start did not end by itself: %v", seed, err)
			}
			switch {
			case err == nil:
				started++
				p.WriteMessages(bg, message("m"))
			case strange(err):
				strangers++
			}
			if cost := allocated() - before; cost > 32<<20 {
				t.Errorf("seed %d: %d bytes", seed, cost)
			}
			if err := p.Stop(bg); err != nil {
				t.Errorf("seed %d: %v", seed, err)
			}
			b.Net.Altered(nil)
			startsAndWrites(t, b, p)
		})
	}
	if started == 0 || strangers == 0 {
		t.Errorf("%d starts worked, %d met what is no answer: the test shows little", started, strangers)
	}
	t.Logf("CHECKED producer-lies brokers=%d started=%d not-kafka=%d", lies, started, strangers)
}

// FuzzAnswer: whatever comes back, a producer neither panics nor hangs on it, and it costs
// memory in proportion to its size.
func FuzzAnswer(f *testing.F) {
	random := rand.New(rand.NewPCG(3, 4))
	for i, m := range answers {
		key := m.ApiKey()
		for v := key.MinVersion(); v <= key.MaxVersion(); v++ {
			filled := reflect.New(reflect.TypeOf(m).Elem())
			fill(random, filled.Elem(), 3)
			var wire bytes.Buffer
			if err := protocol.WriteResponse(&wire, v, 1, filled.Interface().(protocol.Message)); err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), uint8(v), wire.Bytes())
		}
	}
	for _, s := range []string{
		"", "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-x\r\n", "\x15\x03\x01\x00\x02\x02\x46", "\x00\x00\x00\x00",
		"\xff\xff\xff\xff\x00\x00\x00\x01", "\x04\x00\x00\x00\x00\x00\x00\x01", answer(1), answer(1, 0, 0, 0x7f, 0xff, 0xff, 0xff), answer(2),
	} {
		f.Add(uint8(0), uint8(0), []byte(s))
	}
	f.Fuzz(func(t *testing.T, which, version uint8, came []byte) {
		key := answers[int(which)%len(answers)].ApiKey()
		of := shape.Version{Key: key, Number: key.MinVersion() + int16(version)%(key.MaxVersion()-key.MinVersion()+1)}
		began, before := time.Now(), allocated()
		_, _, err := protocol.ReadResponse(asking(of, 1, came), of.Key, of.Number)
		if cost, took := allocated()-before, time.Since(began); cost > uint64(64<<10+32*len(came)) || took > 5*time.Second {
			t.Errorf("%v v%d: %d bytes came, which took %d and %v: %v", of.Key, of.Number, len(came), cost, took, err)
		}
	})
}
