package demo

import (
	"bufio"
	"context"
	"encoding/hex"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// open counts the connections that clients hold open to the gate, by the broker's
// socket table: the kernel's, where it can be read (Linux). There a connection
// whose client has closed it is not counted even if the broker hangs and does not
// notice. Elsewhere it is the gate's own count of what it accepted and did not close.
func (g *gate) open() int {
	_, port, _ := net.SplitHostPort(g.address)
	want, _ := strconv.ParseUint(port, 10, 16)
	if n, ok := established("/proc/self/net/tcp", uint16(want)); ok {
		return n
	}
	return g.accepted()
}

// established counts the rows of a socket table, in the format of proc(5), that
// are in state ESTABLISHED at a local port.
func established(table string, port uint16) (n int, ok bool) {
	f, err := os.Open(table)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// sl local_address rem_address st ...: "0: 0100007F:2710 0100007F:C350 01"
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "01" {
			continue
		}
		_, at, _ := strings.Cut(fields[1], ":")
		b, err := hex.DecodeString(at)
		if err == nil && len(b) == 2 && uint16(b[0])<<8|uint16(b[1]) == port {
			n++
		}
	}
	return n, lines.Err() == nil
}

// settle waits until done, but not for longer than patience: a socket or a
// goroutine that is ending may take a moment to be gone.
func settle(ctx context.Context, patience time.Duration, done func() bool) {
	end := time.Now().Add(patience)
	for !done() && time.Now().Before(end) && ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond)
	}
}
