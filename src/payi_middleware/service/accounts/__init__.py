"""The books: requests, what they are charged to, and who they were for. Functions within a transaction of the store."""
