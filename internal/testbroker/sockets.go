package testbroker

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// Sockets returns how many TCP connections this process has open to the cluster, as the
// operating system counts them; on an in-memory network, how many were dialled and not
// closed. Without /proc it returns Open for the embedded cluster.
func (b *Broker) Sockets(t testing.TB) int {
	t.Helper()
	if b.dialled != nil {
		return int(b.dialled.open.Load())
	}
	if _, err := os.Stat("/proc/self/net/tcp"); err != nil && b.Fake != nil {
		return b.Open()
	}
	mine := socketInodes(t)
	ports := make(map[string]bool)
	for _, a := range slices.Concat(b.Addrs, b.Others) {
		_, port, err := net.SplitHostPort(a)
		if err != nil {
			t.Fatalf("testbroker: %v", err)
		}
		n, _ := strconv.Atoi(port)
		ports[fmt.Sprintf("%04X", n)] = true
	}
	count := 0
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // no IPv6
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			// sl local remote state queues timer retransmits uid timeout inode
			f := strings.Fields(line)
			if len(f) < 10 {
				continue
			}
			remote := f[2][strings.LastIndexByte(f[2], ':')+1:]
			if ports[remote] && mine[f[9]] {
				count++
			}
		}
	}
	return count
}

// socketInodes returns the sockets for which this process has a descriptor.
func socketInodes(t testing.TB) map[string]bool {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		Missing(t, "/proc/self/fd, to count sockets: "+err.Error())
	}
	inodes := make(map[string]bool)
	for _, fd := range fds {
		link, err := os.Readlink("/proc/self/fd/" + fd.Name())
		if err == nil && strings.HasPrefix(link, "socket:[") {
			inodes[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")] = true
		}
	}
	return inodes
}

// dialled counts the open connections of clients.
type dialled struct{ open atomic.Int64 }

func (d *dialled) counting(dial func(context.Context, string, string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil: // as the operating system's error
			return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s: %w", address, syscall.ECONNREFUSED)}
		}
		d.open.Add(1)
		return &dialledConn{Conn: c, d: d}, nil
	}
}

type dialledConn struct {
	net.Conn
	d      *dialled
	closed atomic.Bool
}

func (c *dialledConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.d.open.Add(-1)
	}
	return c.Conn.Close()
}
