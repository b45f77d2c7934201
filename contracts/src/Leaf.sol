// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Leaves of the trees of a turn
/// @notice Those of OpenZeppelin's StandardMerkleTree: double-hashed ABI encoding. Chain, contract and turn come first,
/// so that a leaf is good for one tree of one DAO.
library Leaf {
    /// @notice The leaf of what `account` has earned over all turns up to `turn`, for this contract to pay.
    function ofAmount(uint64 turn, address account, uint256 cumulative) internal view returns (bytes32) {
        return _twice(abi.encode(block.chainid, address(this), turn, account, cumulative));
    }

    /// @notice The leaf of what `turn` takes of the bond that `owner` posted for a contribution at this contract.
    function ofSlash(uint64 turn, bytes32 contributionId, address owner, uint256 slash)
        internal
        view
        returns (bytes32)
    {
        return _twice(abi.encode(block.chainid, address(this), turn, contributionId, owner, slash));
    }

    function _twice(bytes memory encoded) private pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(encoded)));
    }
}
