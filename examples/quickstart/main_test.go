package main

func Example() {
	main()
	// Output: listening: tcp
}
