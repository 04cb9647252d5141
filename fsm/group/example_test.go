package group_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/group"
	"github.com/seed3893aba4/surestart/resilience"
)

func Example() {
	services, err := group.New([]group.Member{
		{Name: "api", Lifecycle: service("api"), Needs: []string{"cache"}},
		{Name: "cache", Lifecycle: service("cache"), Needs: []string{"database"}},
		{Name: "database", Lifecycle: service("database")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer services.Close()
	if err := services.Start(context.Background()); err != nil {
		log.Print(err)
		return
	}
	fmt.Println(services.Status().Held)
	// Output:
	// open database
	// open cache
	// open api
	// [database cache api]
	// close api
	// close cache
	// close database
}

// A member dies: the others are stopped, in order, and Run returns the cause.
func ExampleDiedError() {
	dies := make(chan error)
	database := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		go func() { s.Fail(<-dies) }()
		return "database", nil
	})
	services, err := group.New([]group.Member{
		{Name: "database", Lifecycle: database},
		needing("api", service("api"), "database"),
	})
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		services.Wait(context.Background(), fsm.Started)
		dies <- errors.New("connection lost")
	}()
	err = services.Run(context.Background())
	var died *group.DiedError
	fmt.Println(errors.As(err, &died), died.Member)
	fmt.Println(err)
	// Output:
	// open api
	// close api
	// true database
	// group: member database died: connection lost
}

// needing returns a member of any kind: a lifecycle, a producer, a group.
func needing(name string, any group.Holder, needs ...string) group.Member {
	return group.Member{Name: name, Lifecycle: any, Needs: needs}
}

// A member that dies is started again, and what needs it. The others stay open.
func ExampleMember() {
	die := make(chan struct{}, 1)
	cache := fsm.New(func(_ context.Context, s *fsm.Scope) (string, error) {
		fmt.Println("open cache")
		go func() {
			<-die
			s.Fail(errors.New("out of memory"))
		}()
		return "cache", nil
	})
	opened := make(chan struct{})
	api := fsm.New(func(context.Context, *fsm.Scope) (string, error) {
		fmt.Println("open api")
		defer func() { opened <- struct{}{} }()
		return "api", nil
	})
	services, err := group.New([]group.Member{
		needing("log", service("log")),
		{Name: "cache", Lifecycle: cache, Needs: []string{"log"}, Restart: resilience.NewRetry(resilience.RetryConfig{Tries: 10})},
		needing("api", api, "cache"),
	})
	if err != nil {
		log.Fatal(err)
	}
	go services.Start(context.Background())
	<-opened
	services.Wait(context.Background(), fsm.Started)
	die <- struct{}{}
	<-opened
	fmt.Println(services.Close())
	// Output:
	// open log
	// open cache
	// open api
	// open cache
	// open api
	// close log
	// <nil>
}
