"""Messages and stubs as protoc makes them of proto/foreshadow/v1; each build makes them anew."""
