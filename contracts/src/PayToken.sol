// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {DevelopmentChain} from "./DevelopmentChain.sol";

/// @title Roda Pay, the money of development chains
/// @notice An ERC-20 with six decimals that moves by transfer, by ERC-2612 permit or by an EIP-3009 authorisation, so
/// that an account without ether can pay. It has the interface of USDC, which takes its place on public chains.
/// @dev The forms with `bytes` signatures accept ERC-1271 wallets too; x402 uses both forms.
contract PayToken is ERC20, ERC20Permit, ERC3009 {
    /// @notice The account that may make tokens on a development chain; zero, and so nobody, on every other chain.
    address public immutable faucet;

    /// @notice Only the faucet may make tokens, and only development chains have one.
    error NotFaucet(address caller, address faucet);

    /// @notice Tokens were made out of nothing for `to`.
    event Dripped(address indexed to, uint256 amount);

    constructor(address faucet_) ERC20("Roda Pay", "RPAY") ERC20Permit("Roda Pay") {
        faucet = DevelopmentChain.here() ? faucet_ : address(0);
    }

    /// @notice Make `amount` atomic units for `to`. Only the faucet may.
    function drip(address to, uint256 amount) external {
        // Checked apart from the caller, because a read-only call can name the zero address as its sender.
        require(faucet != address(0) && msg.sender == faucet, NotFaucet(msg.sender, faucet));
        _mint(to, amount);
        emit Dripped(to, amount);
    }

    /// @notice Move `value` from `from` to `to` by the authorisation that `from` signed; anyone may send it.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        _checkSignature(
            from,
            keccak256(
                abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)
            ),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice Like transferWithAuthorization, but only `to` may send it, so nobody can run ahead of the receiver.
    function receiveWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        require(to == msg.sender, ERC20InvalidReceiver(to));
        _checkSignature(
            from,
            keccak256(abi.encode(RECEIVE_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce)),
            signature
        );
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }

    /// @notice Make the authorisation with `nonce` unusable, by the signature of the account that would have paid.
    function cancelAuthorization(address authorizer, bytes32 nonce, bytes calldata signature) external {
        _checkSignature(authorizer, keccak256(abi.encode(CANCEL_AUTHORIZATION_TYPEHASH, authorizer, nonce)), signature);
        _cancelAuthorization(authorizer, nonce);
    }

    /// @notice The version in the EIP-712 domain.
    function version() external pure returns (string memory) {
        return "1";
    }

    /// @notice Six, as USDC has.
    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function _checkSignature(address signer, bytes32 structHash, bytes calldata signature) private view {
        require(
            SignatureChecker.isValidSignatureNowCalldata(signer, _hashTypedDataV4(structHash), signature),
            ERC3009InvalidSignature()
        );
    }

    /// @dev EIP-3009 as written: Unix seconds, both bounds exclusive. OpenZeppelin's draft would read a value with bit
    /// 47 set as a block number.
    function _checkValidity(uint256 validAfter, uint256 validBefore) internal view override {
        require(
            block.timestamp > validAfter && block.timestamp < validBefore,
            ERC3009InvalidAuthorizationTime(validAfter, validBefore)
        );
    }
}
