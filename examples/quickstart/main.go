// Command quickstart is the program of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"github.com/seed3893aba4/surestart/fsm"
)

func main() {
	ctx := context.Background()
	listener := fsm.New(func(ctx context.Context, s *fsm.Scope) (net.Listener, error) {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err == nil {
			s.Defer("listener", func(context.Context) error { return ln.Close() })
		}
		return ln, err
	})
	defer listener.Close()
	err := listener.Start(ctx) // from any goroutine, any number of times
	if err == nil {
		err = listener.Use(ctx, func(_ context.Context, ln net.Listener) error {
			fmt.Println("listening:", ln.Addr().Network())
			return nil // the listener stays open until this function returns
		})
	}
	if err != nil {
		log.Print(err)
	}
}
