package demo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// frame is a request or response as it is on the wire.
func frame(head ...any) []byte {
	var body bytes.Buffer
	for _, v := range head {
		binary.Write(&body, binary.BigEndian, v)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(body.Len())), body.Bytes()...)
}

// However the stream is cut into pieces, the probes in it and their answers are counted.
func TestProbesAreCountedInAnyPieces(t *testing.T) {
	var requests, replies []byte
	for id := range uint32(20) {
		key := uint16(keyListOffsets)
		if id%4 != 0 {
			key = 18 // ApiVersions
		}
		if id == 7 {
			key = keyMetadata
		}
		requests = append(requests, frame(key, uint16(1), id, make([]byte, id*3))...)
		replies = append(replies, frame(id, make([]byte, (20-id)%7))...)
	}
	requests = append(requests, frame(uint16(keyListOffsets))...) // too short to be a request
	requests = append(requests, frame()...)
	for size := 1; size < 40; size++ {
		var seen tally
		p := newProbes(&seen)
		feed := func(f *frames, b []byte) {
			for len(b) > 0 {
				n := min(size, len(b))
				f.feed(b[:n])
				b = b[n:]
			}
		}
		feed(&p.requests, requests)
		feed(&p.replies, replies)
		asked, answered := seen.asked[keyListOffsets].Load(), seen.answered[keyListOffsets].Load()
		if asked != 5 || answered != 5 || len(p.pending) != 0 {
			t.Fatalf("in pieces of %d: %d asked, %d answered, %d pending; want 5, 5, 0", size, asked, answered, len(p.pending))
		}
		if n := seen.asked[keyMetadata].Load(); n != 1 || seen.answered[keyMetadata].Load() != 1 {
			t.Fatalf("in pieces of %d: %d requests for metadata; want 1, answered", size, n)
		}
	}
}

// echo serves a gate until it is closed.
func echo(t *testing.T, g *gate) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := g.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); io.Copy(c, c) }()
		}
	}()
	t.Cleanup(func() { g.Close(); <-done })
}

func TestGateGoesDownHangsAndWorks(t *testing.T) {
	g, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	echo(t, g)
	if c, err := net.Dial("tcp", g.address); err == nil {
		c.Close()
		t.Fatal("down: a connection was accepted")
	}

	if err := g.set(hanging); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatalf("hanging: %v", err)
	}
	defer c.Close()
	c.Write([]byte("hello"))
	got := make([]byte, 5)
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := io.ReadFull(c, got); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("hanging: read %q, %v; want no answer", got, err)
	}

	if err := g.set(working); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
		t.Fatalf("working: read %q, %v; what was sent while it hung was to be answered", got, err)
	}
	if n := g.open(); n != 1 {
		t.Errorf("%d connections open, want 1", n)
	}

	// Killed while it hangs: what it had not read is gone, the connection is reset.
	g.set(hanging)
	c.Write([]byte("lost!"))
	g.set(down)
	if _, err := io.ReadFull(c, got); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("down: read %v; want a reset", err)
	}
	if n := g.accepted(); n != 0 {
		t.Errorf("down: %d connections left", n)
	}
	if err := g.set(working); err != nil {
		t.Fatalf("up again: %v", err)
	}
	again, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatalf("up again: %v", err)
	}
	again.Close()
}

// What the kernel says of a closed connection does not depend on the broker noticing.
func TestSocketTableOfAHungBroker(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("not Linux: the gate's own count is what the demo uses here")
		return
	}
	g, err := newGate()
	if err != nil {
		t.Fatal(err)
	}
	echo(t, g)
	g.set(hanging)
	c, err := net.Dial("tcp", g.address)
	if err != nil {
		t.Fatal(err)
	}
	if n := g.open(); n != 1 {
		t.Errorf("%d connections open, want 1", n)
	}
	c.Close()
	settle(context.Background(), 30*time.Second, func() bool { return g.open() == 0 })
	if n := g.open(); n != 0 {
		t.Errorf("%d connections open after the client closed its only one", n)
	}
}

func TestEstablishedReadsTheTable(t *testing.T) {
	table := filepath.Join(t.TempDir(), "tcp")
	text := `  sl  local_address rem_address   st tx_queue rx_queue
   0: 0100007F:2710 00000000:0000 0A 00000000:00000000
   1: 0100007F:2710 0100007F:C350 01 00000000:00000000
   2: 0100007F:2710 0100007F:C351 08 00000000:00000000
   3: 0100007F:C350 0100007F:2710 01 00000000:00000000
   4: 0100007F:2711 0100007F:C352 01 00000000:00000000
`
	if err := os.WriteFile(table, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, ok := established(table, 10000); n != 1 || !ok {
		t.Errorf("established = %d, %t; want 1, true", n, ok)
	}
	if _, ok := established(table+".none", 10000); ok {
		t.Error("a table that is not there was read")
	}
}

func TestMessagesTellTheirRunAndNumber(t *testing.T) {
	for _, n := range []int{0, 7, 199_999} {
		m := message("run1", n)
		if len(m.Value) != messageSize {
			t.Errorf("message %d has %d bytes, want %d", n, len(m.Value), messageSize)
		}
		if got, ok := sequence("run1", m.Value); got != n || !ok {
			t.Errorf("sequence = %d, %t; want %d", got, ok, n)
		}
		if _, ok := sequence("run2", m.Value); ok {
			t.Error("a message of another run was taken for ours")
		}
	}
	for _, other := range []string{"", "hello", "surestart-demo run1", "surestart-demo run1 x y"} {
		if _, ok := sequence("run1", []byte(other)); ok {
			t.Errorf("%q was taken for ours", other)
		}
	}
}

func TestCommas(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Commas(n); got != want {
			t.Errorf("Commas(%d) = %s, want %s", n, got, want)
		}
	}
}

func ExampleScreen_progress() {
	var out bytes.Buffer
	s := NewScreen(&out, false)
	s.act(4, "something is sent")
	for done := 0; done <= 2000; done += 100 {
		s.progress(done, 2000, done == 2000)
	}
	fmt.Print(out.String())
	// Output:
	//   4  something is sent
	//      500 of 2,000 acknowledged
	//      1,000 of 2,000 acknowledged
	//      1,500 of 2,000 acknowledged
	//      2,000 of 2,000 acknowledged
}
