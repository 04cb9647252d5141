package sender

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/producer/internal/connection"
)

// kmsg reads from a request what was put in: every batch once, its topic named once.
func TestEncode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r request
		for range 2 { // its memory is used again
			r.reset()
			want := make(map[string][]byte)
			topics := make(map[string]bool)
			for i := range rapid.IntRange(1, 20).Draw(t, "batches") {
				p := &Partition{topic: rapid.SampledFrom([]string{"a", "b", "longer", ""}).Draw(t, "topic"), number: int32(i)}
				b := rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "bytes")
				r.items = append(r.items, item{p: p, bytes: b})
				want[fmt.Sprint(p.topic, "/", p.number)] = b
				topics[p.topic] = true
			}
			version := rapid.SampledFrom([]int16{7, 8}).Draw(t, "version")
			r.encode(new(connection.Conn), version, -1, 8*time.Second)
			var all []byte
			for _, b := range r.frame {
				all = append(all, b...)
			}
			if key, v := binary.BigEndian.Uint16(all[4:]), binary.BigEndian.Uint16(all[6:]); key != 0 || v != uint16(version) {
				t.Fatalf("key %d, version %d", key, v)
			}
			req := kmsg.NewPtrProduceRequest()
			req.SetVersion(version)
			if err := req.ReadFrom(all[14:]); err != nil { // behind the header, and an empty client id
				t.Fatal(err)
			}
			if req.Acks != -1 || req.TimeoutMillis != 8000 || req.TransactionID != nil || len(req.Topics) != len(topics) {
				t.Fatalf("%+v", req)
			}
			found := 0
			for _, rt := range req.Topics {
				for _, rp := range rt.Partitions {
					found++
					if b, ok := want[fmt.Sprint(rt.Topic, "/", rp.Partition)]; !ok || !slices.Equal(b, rp.Records) {
						t.Fatalf("%s/%d has %v, want %v", rt.Topic, rp.Partition, rp.Records, b)
					}
				}
			}
			if found != len(want) {
				t.Fatalf("%d of %d batches", found, len(want))
			}
		}
	})
}

// What is read of an answer is what kmsg has written.
func TestDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.SampledFrom([]int16{7, 8}).Draw(t, "version")
		res := kmsg.NewPtrProduceResponse()
		res.SetVersion(version)
		res.ThrottleMillis = rapid.Int32Range(0, 1<<30).Draw(t, "throttle")
		var want []string
		for i := range rapid.IntRange(0, 4).Draw(t, "topics") {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = fmt.Sprint("topic-", i)
			for k := range rapid.IntRange(0, 4).Draw(t, "partitions") {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode, p.BaseOffset = int32(k), rapid.Int16().Draw(t, "code"), rapid.Int64().Draw(t, "offset")
				var records []int32
				message := ""
				if version == 8 {
					for range rapid.IntRange(0, 3).Draw(t, "records") {
						r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
						r.RelativeOffset = rapid.Int32().Draw(t, "record")
						p.ErrorRecords = append(p.ErrorRecords, r)
						records = append(records, r.RelativeOffset)
					}
					if rapid.Bool().Draw(t, "says why") {
						message = rapid.StringN(1, 10, 20).Draw(t, "message")
						p.ErrorMessage = &message
					}
				}
				rt.Partitions = append(rt.Partitions, p)
				want = append(want, fmt.Sprint(rt.Topic, p.Partition, p.ErrorCode, p.BaseOffset, records, message))
			}
			res.Topics = append(res.Topics, rt)
		}
		b := res.AppendTo(nil)
		var got []string
		throttle, err := decode(version, b, func(topic []byte, partition int32, a answer) {
			got = append(got, fmt.Sprint(string(topic), partition, int16(a.code), a.offset, a.records, a.message))
		})
		if err != nil || throttle != time.Duration(res.ThrottleMillis)*time.Millisecond || !slices.Equal(got, want) {
			t.Fatalf("%v, throttle %v: %v, want %v", err, throttle, got, want)
		}
		if len(b) > 0 {
			if _, err := decode(version, b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")], func([]byte, int32, answer) {}); err == nil {
				t.Fatal("a part of an answer is taken for one")
			}
		}
	})
}

// Whatever a broker answers costs memory in proportion to its bytes, and no panic.
func FuzzDecode(f *testing.F) {
	f.Add(uint8(7), []byte{0, 0, 0, 1, 0, 1, 'a', 0, 0, 0, 1})
	f.Add(uint8(8), []byte{0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, version uint8, b []byte) {
		seen := 0
		_, _ = decode(7+int16(version%2), b, func(topic []byte, _ int32, a answer) { seen += 1 + 4*len(a.records) + len(a.message) })
		if seen > 1+len(b) {
			t.Errorf("%d from %d bytes", seen, len(b))
		}
	})
}

func TestAnswerError(t *testing.T) {
	for _, code := range []kafka.Error{0, kafka.DuplicateSequenceNumber} {
		if err := (&answer{code: code, message: "x"}).error(); err != nil {
			t.Errorf("code %d is the error %v", int(code), err)
		}
	}
	if err := (&answer{code: kafka.NotLeaderForPartition, message: "moved"}).error(); err == nil || err.Error() != kafka.NotLeaderForPartition.Error()+": moved" {
		t.Error(err)
	}
}
