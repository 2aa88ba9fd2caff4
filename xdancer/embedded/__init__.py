"""The embedded default data set: generated songs, dances and puppets with exact beats."""
