package sender

import (
	"fmt"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"
	"pgregory.net/rapid"

	"github.com/seed3893aba4/surestart/internal/core"
)

// Whatever is decided, taken out and split off: each message is where its number says, with
// its slot, its bytes and its charge.
func TestChunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := &Config{BatchSize: 100, BatchBytes: 1 << 20, Counters: new(Counters)}
		call := new(Call)
		call.Expect(1 << 20)
		ch := newChunk()
		number := core.Message(rapid.IntRange(1, 1000).Draw(t, "first"))
		var want []core.Message // those in the chunk
		open := make(map[core.Message]bool)
		for range rapid.IntRange(1, 30).Draw(t, "messages") {
			if rapid.IntRange(0, 5).Draw(t, "gap") == 0 {
				number += 3
			}
			m := kafka.Message{Value: fmt.Append(nil, uint64(number))}
			if !ch.append(&m, 0, cfg, number, slot{call, int32(number), int32(number)}) {
				t.Fatal("no room")
			}
			want = append(want, number)
			open[number] = true
			number++
		}
		check := func(ch *chunk, want []core.Message) {
			t.Helper()
			charged, opened := int64(0), 0
			if len(ch.slots) != len(want) || ch.b.Len() != len(want) {
				t.Fatalf("%d slots and %d records of %d messages", len(ch.slots), ch.b.Len(), len(want))
			}
			for i, r := range ch.b.Records() {
				m := want[i]
				charged += int64(m)
				if ch.number(i) != m || ch.find(m) != i || string(r.Value) != fmt.Sprint(uint64(m)) || core.Message(ch.slots[i].index) != m || (ch.slots[i].call != nil) != open[m] {
					t.Fatalf("place %d has number %d, value %s, slot %+v; want %d, open %t", i, ch.number(i), r.Value, ch.slots[i], m, open[m])
				}
				if open[m] {
					opened++
				}
			}
			if ch.charged != charged || ch.open != opened || ch.find(want[len(want)-1]+1) >= 0 {
				t.Fatalf("charged %d, want %d; %d open, want %d", ch.charged, charged, ch.open, opened)
			}
		}
		decide := func(ch *chunk, list []core.Message) {
			for range rapid.IntRange(0, 5).Draw(t, "decisions") {
				m := rapid.SampledFrom(list).Draw(t, "decided")
				n := ch.contiguous(ch.find(m), rapid.IntRange(1, 4).Draw(t, "run"))
				for k := range n {
					if !open[m+core.Message(k)] {
						n = k
						break
					}
				}
				if n > 0 {
					ch.decide(ch.find(m), n, Failure{}, -1, true)
					for k := range n {
						open[m+core.Message(k)] = false
					}
				}
			}
		}
		check(ch, want)
		decide(ch, want)
		check(ch, want)
		if rapid.Bool().Draw(t, "shorten") {
			gone := int64(0)
			want = slices.DeleteFunc(want, func(m core.Message) bool {
				if !open[m] {
					gone += int64(m)
				}
				return !open[m]
			})
			if charged := ch.shorten(); charged != gone {
				t.Fatalf("shorten gives back %d, want %d", charged, gone)
			}
		}
		if len(want) == 0 {
			return
		}
		check(ch, want)
		if len(want) > 1 {
			n := rapid.IntRange(1, len(want)-1).Draw(t, "half")
			rest := ch.split(n)
			check(ch, want[:n])
			check(rest, want[n:])
			decide(rest, want[n:])
			check(rest, want[n:])
			rest.free()
		}
		ch.free()
	})
}
